"""`stepwell serve`."""

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

STDIN = 0
TERMINATED = 128 + signal.SIGTERM


def serve(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML configuration.")],
    *,
    host: Annotated[str | None, typer.Option(help="Replaces server.host.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, envvar="STEPWELL_PORT", help="Replaces server.port."),
    ] = None,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", hidden=True, help="End when stdin does.")
    ] = False,
) -> None:
    """Serve a configuration until interrupted, then drain."""
    from serving.settings.load import load_settings  # noqa: PLC0415

    settings = load_settings(config)
    if settings.runtime == "ray":
        from deploy.ray.run import serve_ray as run  # noqa: PLC0415  takes a second
    else:
        from deploy.inline import serve_inline as run  # noqa: PLC0415

    signal.signal(signal.SIGTERM, _terminated)
    if until_eof:
        threading.Thread(target=_end_at_eof, name="until-eof", daemon=True).start()
    run(settings, host=host, port=port)


def _terminated(*_: object) -> None:
    """uvicorn drains on SIGTERM and then sends it to the process again. Its default would end the
    process at once, with the last attempts not yet in the ledger; an exception closes what is open.
    """
    raise SystemExit(TERMINATED)


def _end_at_eof() -> None:
    """Whoever started this server holds the other end of its stdin, so it ends with them, however
    they end. The raw descriptor is read: a buffered reader in a daemon thread breaks at exit.
    """
    while os.read(STDIN, 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
