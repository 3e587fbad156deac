"""Stands in front of an emulator and spoils single requests, by the emulator's own faults."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.hosted.emulator.faults import HEADER
from serving.hosted.emulator.server import EmulatorServer


class Faulty:
    """`asked` has the method and path of each request that came through, `bodies` the bodies of
    those that have one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._planned: list[tuple[str, str, str]] = []
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.url = ""

    def next(self, method: str, path_end: str, fault: str) -> None:
        """The next request of this method, whose path ends like this, meets the fault."""
        self._planned.append((method, path_end, fault))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            self.asked.append((method, path))
            for plan in self._planned:
                if plan[0] == method and path.endswith(plan[1]):
                    self._planned.remove(plan)
                    header = (HEADER.encode(), plan[2].encode())
                    scope = {**scope, "headers": [*scope["headers"], header]}
                    break
        body = bytearray()

        async def listen() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body.extend(message.get("body", b""))
                if body and not message.get("more_body"):
                    self.bodies.append(bytes(body))
            return message

        await self._app(scope, listen, send)

    @classmethod
    @asynccontextmanager
    async def around(cls, app: ASGIApp) -> AsyncIterator["Faulty"]:
        made = cls(app)
        server = EmulatorServer(made)
        made.url = await server.start()
        try:
            yield made
        finally:
            await server.stop()
