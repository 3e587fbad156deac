"""Secrets come from the environment or from a file, never from the YAML itself."""

import os
from pathlib import Path

from serving.errors import ConfigError

MAX_SECRET_BYTES = 65_536

TELLING_CHARS = 8
"""A run of this many characters of a secret is as good as the secret in a log."""

LEAST_CHARS = 4


def read_secret(env: str | None, file: str | None) -> str | None:
    """The secret in the file, else the one in the environment variable, without surrounding
    whitespace; None where neither is set or what is set is empty. `ConfigError` where the file is
    named but cannot be read, and for what no HTTP header can carry, such as two keys in two lines.
    The secret itself never stands in an error.
    """
    if file is not None:
        return _checked(_read_file(Path(file)), file)
    if env is not None:
        return _checked(os.environ.get(env, "").strip(), env)
    return None


def scrubbed(text: str, secret: str | None) -> str:
    """`text` with `***` for every run of `TELLING_CHARS` characters or more that it shares with
    the secret; of a shorter secret, for the whole of it. What has less than four characters is no
    secret.
    """
    size = min(TELLING_CHARS, len(secret or ""))
    if not secret or size < LEAST_CHARS:
        return text
    parts = {secret[i : i + size] for i in range(len(secret) - size + 1)}
    made: list[str] = []
    hidden = 0  # the end of what is known to be the secret's
    for i in range(len(text)):
        if text[i : i + size] in parts:
            made += ["***"] if i >= hidden else []
            hidden = i + size
        if i >= hidden:
            made.append(text[i])
    return "".join(made)


def _checked(secret: str, where: str) -> str | None:
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise ConfigError(
            f"{where}: the secret holds a space, a line break or a character beyond ASCII,"
            " which no HTTP header can carry"
        )
    return secret or None


def _read_file(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_SECRET_BYTES:
            raise ConfigError(f"{path}: too large for a secret")
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the secret: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the secret is not UTF-8 text") from None
