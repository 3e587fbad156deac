"""Runs an ASGI app on a free loopback port inside the running event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

STOP_S = 2


class EmulatorServer:
    """`start` once, `stop` once. Open connections get `STOP_S` seconds to end when it stops."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Serves from now on; returns the base URL, for example `http://127.0.0.1:41234`."""
        if self._server is not None:
            raise RuntimeError("the emulator has been started already")
        # The protocol must be named, else asyncio leaves Nagle's delay on: 40 ms per answer.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._app,
            lifespan="auto",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=STOP_S,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        await self._server.ready.wait()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def stop(self) -> None:
        """Ends; does nothing where it was not started."""
        if self._server is None or self._task is None:
            return
        self._server.stopping.set()
        await self._task
        self._server = self._task = None


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the process's signals to the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready, self.stopping = asyncio.Event(), asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Waits to be told, where uvicorn would look ten times a second."""
        await self.on_tick(0)
        await self.stopping.wait()
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
