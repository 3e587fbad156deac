"""The trivial upstream: `python -m tests.bench.gateway.upstream PORT`.

Speaks just enough HTTP and just enough of two APIs to be called by real SDKs, and answers canned
bytes, so that nearly all of a measured request is the gateway's. A body that has `"stream":true`
is answered by a stream: all at once, or at a model's pace where it holds the word PACED.
`GET /count` says how many answers it has given.
"""

import asyncio
import re
import sys
from typing import cast

import uvloop

from tests.bench.gateway import canned

PACED = b"paced"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')
_HEAD_END = b"\r\n\r\n"


def _response(kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
    return head % (kind, len(body)) + body


def _chunked(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


class Answers:
    """The canned answers of one API, as bytes to send."""

    def __init__(self, whole: bytes, burst: list[bytes], paced: list[bytes]) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        head += b"transfer-encoding: chunked\r\n\r\n"
        self.whole = _response(b"application/json", whole)
        self.burst = head + b"".join(_chunked(p) for p in burst) + _chunked(b"")
        paced = [_chunked(p) for p in paced]
        self.paced = [head + paced[0], *paced[1:-1], paced[-1] + _chunked(b"")]


class Upstream(asyncio.Protocol):
    """One kept-alive connection. Requests on it come one after another."""

    given = 0

    def __init__(self, messages: Answers, chat: Answers) -> None:
        self._messages, self._chat = messages, chat
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by their methods only.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(_HEAD_END)
        if not found:
            return
        length = _LENGTH.search(head)
        if length is not None and len(rest) < int(length[1]):
            return
        self._buffer = b""
        self._answer(head, rest)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self._send(_response(b"text/plain", b"%d" % Upstream.given))
            return
        Upstream.given += 1
        answers = self._messages if b"/messages" in head[:40] else self._chat
        if _STREAM.search(body) is None:
            self._send(answers.whole)
        elif PACED in body:
            self._pace(answers.paced, 0)
        else:
            self._send(answers.burst)

    def _pace(self, pieces: list[bytes], at: int) -> None:
        self._send(pieces[at])
        if at + 1 < len(pieces) and self._transport is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(1 / canned.PACED_TOKENS_PER_S, self._pace, pieces, at + 1)

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve(port: int) -> None:
    burst, paced = canned.BURST_TOKENS, canned.PACED_TOKENS
    messages = Answers(
        canned.messages_body(), canned.messages_events(burst), canned.messages_events(paced)
    )
    chat = Answers(canned.chat_body(), canned.chat_events(burst), canned.chat_events(paced))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(messages, chat), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
