"""`stepwell hash-key`."""

import secrets
import sys
from typing import Annotated

import typer

PREFIX = "sw-"
RANDOM_BYTES = 32


def hash_key(
    *,
    tenant: Annotated[str, typer.Option(help="Whose key it is.")] = "default",
    key_id: Annotated[
        str | None, typer.Option("--id", help="Name of the key (default: TENANT-key).")
    ] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Hash the key on stdin instead of making one.")
    ] = False,
) -> None:
    """Make an API key and the entry of `keys:` that lets it in.

    The key is printed once, to stderr, and kept nowhere; the entry goes to stdout.
    """
    from pydantic import ValidationError  # noqa: PLC0415

    from serving.settings.key_hash import digest  # noqa: PLC0415
    from serving.settings.keys import KeySettings  # noqa: PLC0415

    key = _given() if stdin else PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    try:
        entry = KeySettings(id=key_id or f"{tenant}-key", tenant=tenant, hash=digest(key))
    except ValidationError as wrong:
        raise typer.BadParameter("--tenant and --id: " + wrong.errors()[0]["msg"]) from None
    if not stdin:
        typer.echo(f"Your key, shown only now:\n\n  {key}\n\nIts entry under `keys:`", err=True)
    typer.echo(f'  - id: "{entry.id}"\n    tenant: "{entry.tenant}"\n    hash: "{entry.hash}"')


def _given() -> str:
    """The key on stdin, less its line end; one that could be guessed is refused."""
    from serving.settings.key_hash import MAX_CHARS, weakness  # noqa: PLC0415

    key = sys.stdin.readline(MAX_CHARS + 3).rstrip("\r\n")
    weak = weakness(key)
    if weak is not None:
        raise typer.BadParameter(f"the key is refused: {weak}", param_hint="--stdin")
    return key
