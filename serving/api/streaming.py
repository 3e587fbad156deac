"""A streamed answer over HTTP.

Nothing leaves for the first `hold_s` while nothing has come, so that an error can still be an HTTP
error; then 200 leaves and comments keep the connection alive. Tokens that are ready together leave
together; none waits for another. When the client leaves, the streams are closed at once.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.api.disconnect import ClientGone, stop, until_gone
from serving.api.errors import client_error, error_event
from serving.api.exchange import Exchange
from serving.api.figures import trace_wire
from serving.api.mailbox import Mailbox
from serving.api.prompt_log import PromptLog
from serving.backend import Call, ChunkStream
from serving.errors import DeadlineExceeded, TierProtocolError
from serving.settings.root import Settings
from serving.wire.completion import Chunk, Usage
from serving.wire.render import total_usage
from serving.wire.sse import HEARTBEAT, Events, event

GRACE_S = 1.0  # past its deadline, a backend has this long to say so itself
ROOM = 256  # chunks that may wait for a slow client before the tier is held up
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}

Piece = tuple[int, Chunk]


class EventStream(Response):
    """A response made of one stream per call. It runs once."""

    def __init__(
        self,
        streams: Sequence[tuple[Call, ChunkStream]],
        events: Events,
        exchange: Exchange,
        settings: Settings,
        log: PromptLog,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(HEADERS)
        self._streams = streams
        self._events = events
        self._exchange = exchange
        self._settings = settings
        self._log = log
        self._begun: set[tuple[int, int]] = set()
        self._finished: set[tuple[int, int]] = set()
        self._usage: dict[int, Usage] = {}
        self._give_up_at = max(call.deadline for call, _ in streams) + GRACE_S

    async def __call__(
        self,
        scope: Scope,  # noqa: ARG002  # ASGI's signature
        receive: Receive,
        send: Send,
    ) -> None:
        """Raises what failed before the response began; later failures become an error event."""
        box = Mailbox[Piece](room=ROOM, writers=len(self._streams))
        tasks = [asyncio.create_task(self._watch(receive, box))]
        tasks += [
            asyncio.create_task(self._pump(source, stream, box))
            for source, (_, stream) in enumerate(self._streams)
        ]
        try:
            await self._run(box, send)
        finally:
            await stop(*tasks)

    async def _watch(self, receive: Receive, box: Mailbox[Piece]) -> None:
        await until_gone(receive)
        box.fail(ClientGone(), at_once=True)

    async def _pump(self, source: int, stream: ChunkStream, box: Mailbox[Piece]) -> None:
        try:
            async with aclosing(stream):
                async for chunk in stream:
                    await box.put((source, chunk))
        except Exception as error:
            box.fail(error)
        else:
            box.end()

    async def _run(self, box: Mailbox[Piece], send: Send) -> None:
        pieces = await self._opening(box)
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        try:
            await self._flow(pieces, box, send)
            closing = await self._ending()
        except ClientGone:
            raise
        except Exception as error:
            closing = await self._broken(error)
        await send({"type": "http.response.body", "body": closing, "more_body": False})

    async def _ending(self) -> bytes:
        """What is sent last."""
        return self._closing()

    async def _broken(self, error: Exception) -> bytes:
        """What is sent last where the answer failed after the response had begun."""
        told = client_error(error, self._exchange)
        self._exchange.error = told.code or told.type
        return event(error_event(told, self._exchange))

    async def _opening(self, box: Mailbox[Piece]) -> list[Piece]:
        """What came by the first piece that says something, or within `hold_s`. A piece that only
        opens a choice says nothing, and an error may yet follow it.
        """
        until = time.monotonic() + self._settings.stream.hold_s
        pieces: list[Piece] = []
        while self._exchange.first_token_at is None:
            pieces += await self._take(box, until - time.monotonic())
            if box.ended or time.monotonic() >= until:
                break
        return pieces

    async def _flow(self, pieces: list[Piece], box: Mailbox[Piece], send: Send) -> None:
        while True:
            body = b"".join([self._rendered(source, chunk) for source, chunk in pieces])
            if not pieces and not box.ended:
                body = HEARTBEAT
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if box.ended:
                return
            pieces = await self._take(box, self._settings.stream.heartbeat_s)

    async def _take(self, box: Mailbox[Piece], timeout_s: float) -> list[Piece]:
        """A backend ends at its deadline by itself; here stands the net under one that does not,
        before it says anything or between two pieces.
        """
        left = self._give_up_at - time.monotonic()
        pieces = await box.take(min(timeout_s, left))
        now = time.monotonic()
        if not pieces:
            if not box.ended and now >= self._give_up_at:
                raise DeadlineExceeded("No answer came before the deadline.")
            return pieces
        spoke = self._exchange.first_token_at is not None
        if not spoke and any(_says_something(chunk) for _, chunk in pieces):
            self._exchange.first_token_at, spoke = now, True
        if spoke:
            self._give_up_at = max(self._give_up_at, now + self._settings.request_deadline_s)
        return pieces

    def _rendered(self, source: int, chunk: Chunk) -> bytes:
        if chunk.usage is not None:
            self._usage[source] = chunk.usage
            return b""
        self._begun.add((source, chunk.index))
        if chunk.finish_reason is not None:
            self._finished.add((source, chunk.index))
        self._log.add(source, chunk)
        return self._events.piece(source, chunk)

    def _closing(self) -> bytes:
        """The usage waits for the very end, when every figure is final."""
        sources = {source for source, _ in self._finished}
        if len(sources) < len(self._streams) or self._begun != self._finished:
            raise TierProtocolError("The answer broke off before its end.")
        self._log.end()
        usage = total_usage(self._usage.get(s, Usage(estimated=True)) for s in sorted(sources))
        exchange = self._exchange
        trace = trace_wire(exchange.request_id, exchange.traces) if exchange.explain else None
        return self._events.last(usage, exchange.settle().wire(), trace)


def _says_something(chunk: Chunk) -> bool:
    return bool(
        chunk.content
        or chunk.tool_calls
        or chunk.refusal
        or chunk.reasoning
        or chunk.finish_reason
        or chunk.usage is not None
    )
