"""One exchange over ASGI: reads a body, answers, and notices that nobody listens any more."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.render import dumped

MAX_BODY_BYTES = 32 * 1024 * 1024


def header_map(scope: Scope) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}


def query_map(scope: Scope) -> dict[str, str]:
    """The query's parameters; of one that stands twice, the last."""
    return dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))


async def read_body(
    headers: Mapping[str, str], receive: Receive, most: int = MAX_BODY_BYTES
) -> bytes | None:
    """The body; None where the client left while sending. 413 beyond `most`, the rest unread."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise ApiError(413, "Request exceeds the maximum allowed number of bytes.")
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > most:
            raise ApiError(413, "Request exceeds the maximum allowed number of bytes.")
        if not message.get("more_body", False):
            return bytes(body)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` and cancels it when the client disconnects. The body must have been read."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass(slots=True)
class Exchange:
    """One request and its answer. `out` are the headers of the answer, until it starts."""

    headers: Mapping[str, str]
    path: Mapping[str, str]
    send: Send
    query: Mapping[str, str] = field(default_factory=dict)
    client: str = ""
    body: bytes = b""
    workspace: str = ""
    version: str = ""
    out: dict[str, str] = field(default_factory=dict)

    async def start(self, status: int, media_type: str) -> None:
        raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in self.out.items()]
        raw.append((b"content-type", media_type.encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, body: bytes, *, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def json(self, status: int, value: Any) -> None:
        body = dumped(value)
        self.out["content-length"] = str(len(body))
        await self.start(status, "application/json")
        await self.write(body, more=False)

    async def broken(self) -> None:
        """An answer that is no JSON."""
        await self.start(200, "application/json")
        await self.write(b'{"id": "msg_broken", "type": "mess', more=False)

    async def drop(self) -> None:
        """Begins an answer and never ends it, upon which the server closes the connection."""
        self.out["content-length"] = "1000"
        await self.start(200, "application/json")

    async def fail(self, error: ApiError) -> None:
        body = error.body(self.out["request-id"])
        self.out |= error.headers
        await self.json(error.status, body)
