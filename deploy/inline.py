"""`runtime: inline`: the whole stack in one uvicorn process, without Ray."""

import socket
from collections.abc import Callable

import uvicorn
import uvloop

from deploy import collector
from deploy.build import opened
from deploy.ports import listen
from serving.api.app import create_app
from serving.errors import ConfigError
from serving.settings.root import Settings
from serving.telemetry.logs import configure

HINT = "choose another with server.port or --port"


def serve_inline(settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
    """Serves until SIGINT or SIGTERM, then drains. `host` and `port` replace the config's."""
    configure(settings.log)
    uvloop.run(serve(settings, host=host, port=port))


async def serve(
    settings: Settings,
    *,
    host: str | None = None,
    port: int | None = None,
    started: Callable[[uvicorn.Server, int], None] | None = None,
) -> None:
    """Serves in the running loop. `started` hears of the server and its port once it listens;
    setting `server.should_exit` ends it. `ConfigError` where it cannot listen.
    """
    settings = listening_at(settings, host, port)
    with listen(settings.server.host, settings.server.port, hint=HINT) as listener:
        async with opened(settings) as service:
            collector.calm()
            config = uvicorn.Config(
                create_app(service),
                http="httptools",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=int(settings.server.drain_s),
            )
            await _Server(config, started).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Tells who waits for it when it listens, and where."""

    def __init__(
        self, config: uvicorn.Config, started: Callable[[uvicorn.Server, int], None] | None
    ) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._started is not None and sockets:
            self._started(self, sockets[0].getsockname()[1])


def listening_at(settings: Settings, host: str | None, port: int | None) -> Settings:
    """The settings with another address, checked again: listening beyond loopback needs keys."""
    update = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    server = settings.server.model_copy(update=update)
    try:
        return Settings.model_validate({**vars(settings), "server": server})
    except ValueError as error:
        raise ConfigError(f"--host: {error}") from None
