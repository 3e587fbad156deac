"""A real HTTP server that answers as the test says, where the emulator would not: odd headers, stop
reasons that cannot be provoked, bodies to the byte. It keeps what it was sent.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from serving.hosted.emulator.server import EmulatorServer

MODEL = "claude-opus-5-5"


@dataclass(frozen=True)
class Reply:
    """`body` is sent as JSON where it is no bytes; `wait_s` passes before."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0


@dataclass
class Seen:
    """A request; `body` is its JSON."""

    path: str
    headers: dict[str, str]
    body: Any


class ScriptedApi:
    """Answers with `replies` in turn, the last one again and again. `most` is the highest number
    of requests that it had at once.
    """

    def __init__(self, *replies: Reply) -> None:
        self.replies = deque(replies)
        self.seen: list[Seen] = []
        self.running = self.most = 0
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = bytearray()
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {k.decode().lower(): v.decode() for k, v in scope["headers"]}
        self.seen.append(Seen(scope["path"], headers, json.loads(raw) if raw else None))
        reply = self.replies[0] if len(self.replies) == 1 else self.replies.popleft()
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(reply.wait_s)
            await _answer(reply, send)
        finally:
            self.running -= 1

    @property
    def bodies(self) -> list[Any]:
        return [seen.body for seen in self.seen]


async def _answer(reply: Reply, send: Send) -> None:
    whole = isinstance(reply.body, bytes)
    body = reply.body if whole else json.dumps(reply.body).encode()
    kind = "text/event-stream" if whole else "application/json"
    headers = {"content-type": kind, **reply.headers}
    raw = [(k.encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def scripted(*replies: Reply) -> AsyncIterator[ScriptedApi]:
    api = ScriptedApi(*replies)
    server = EmulatorServer(api)
    api.url = await server.start()
    try:
        yield api
    finally:
        await server.stop()


def message(*content: Mapping[str, Any], stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    """The body of an answer; by default it says "Yes."."""
    blocks = list(content) or [{"type": "text", "text": "Yes."}]
    usage = {"input_tokens": 10, "output_tokens": 5}
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": blocks,
        "stop_reason": stop, "stop_sequence": None, "usage": usage, **more,
    }  # fmt: skip


def events(*found: Mapping[str, Any]) -> bytes:
    """Server-sent events."""
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in found)


def streamed(whole: Mapping[str, Any]) -> bytes:
    """The stream that amounts to a message; its blocks come whole, but for the texts."""
    begun = {**whole, "content": [], "stop_reason": None}
    made: list[Mapping[str, Any]] = [{"type": "message_start", "message": begun}]
    for i, block in enumerate(whole["content"]):
        opening = {**block, "input": {}} if block["type"] == "tool_use" else block
        made.append({"type": "content_block_start", "index": i, "content_block": opening})
        if block["type"] == "tool_use":
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            made.append({"type": "content_block_delta", "index": i, "delta": delta})
        made.append({"type": "content_block_stop", "index": i})
    end = {k: whole.get(k) for k in ("stop_reason", "stop_sequence", "stop_details")}
    made.append({"type": "message_delta", "delta": end, "usage": whole["usage"]})
    return events(*made, {"type": "message_stop"})


def error(status: int, kind: str, text: str = "why", **more: Any) -> Reply:
    """An error answer; `more` goes into its headers, under names with hyphens."""
    body = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}
    return Reply(body, status, {k.replace("_", "-"): str(v) for k, v in more.items()})
