"""Secrets come from the environment or from a file, never from the YAML itself."""

import os
from pathlib import Path

from serving.errors import ConfigError

MAX_SECRET_BYTES = 65_536


def read_secret(env: str | None, file: str | None) -> str | None:
    """The secret in the file, else the one in the environment variable, without surrounding
    whitespace; None where neither is set or what is set is empty. `ConfigError` where the file is
    named but cannot be read. The secret itself never stands in an error.
    """
    if file is not None:
        return _read_file(Path(file)) or None
    if env is not None:
        return os.environ.get(env, "").strip() or None
    return None


def _read_file(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_SECRET_BYTES:
            raise ConfigError(f"{path}: too large for a secret")
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the secret: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the secret is not UTF-8 text") from None
