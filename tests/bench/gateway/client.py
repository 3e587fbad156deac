"""The bench's own load client: raw sockets on the running loop, each sending its next request when
the last one is answered. It measures streams, and everything where wrk is missing.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import cast

GIVE_UP_S = 30.0
_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_FIRST_TOKEN = re.compile(rb'"content": ?"[^"]')
_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')


@dataclass(slots=True)
class Load:
    """What one run saw. `waits_ms`: until the answer's end, for streams until its first token.
    `token_ms`: of each stream, the mean time from one token to the next. `seconds`: from the first
    request sent to the last answer's end.
    """

    waits_ms: list[float] = field(default_factory=list)
    token_ms: list[float] = field(default_factory=list)
    tokens: int = 0
    errors: int = 0
    seconds: float = 0.0
    first_error: str = ""

    def failed(self, why: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or why


def http_request(port: int, path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(
    port: int,
    path: str,
    bodies: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    stream: bool,
    at_least: int = 1,
) -> Load:
    """Sends `bodies` in turn for that long, on `clients` connections, `at_least` once through each
    connection's part.
    """
    requests = [http_request(port, path, body) for body in bodies]
    result = Load()
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    connections: list[_Connection] = []
    for number in range(clients):
        mine = requests[number % len(requests) :] + requests[: number % len(requests)]
        connection = _Connection(mine, started + seconds, at_least, result, stream=stream)
        await loop.create_connection(partial(_same, connection), "127.0.0.1", port)
        connections.append(connection)
    done = asyncio.gather(*(c.done for c in connections))
    try:
        await asyncio.wait_for(done, seconds + GIVE_UP_S)
    except TimeoutError:
        result.failed(f"no answer within {GIVE_UP_S:.0f} s")
    result.seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return result


def _same(connection: "_Connection") -> "_Connection":
    return connection


class _Connection(asyncio.Protocol):
    def __init__(
        self, requests: list[bytes], until: float, at_least: int, result: Load, *, stream: bool
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests, self._until, self._at_least = cycle(requests), until, at_least
        self._result, self._stream = result, stream
        self._transport: asyncio.Transport | None = None
        self._answer = bytearray()
        self._sent = 0.0
        self._first: float | None = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by their methods only.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.done.done():
            self._result.failed(f"the connection was closed after {bytes(self._answer[:60])!r}")
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._stream and self._first is None and _FIRST_TOKEN.search(self._answer):
            self._first = time.perf_counter()
        if self._complete():
            self._count()
            self._send()

    def _send(self) -> None:
        if self._transport is None or self.done.done():
            return
        if self._at_least <= 0 and time.perf_counter() >= self._until:
            self.done.set_result(None)
            return
        self._at_least -= 1
        self._answer.clear()
        self._first = None
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))

    def _complete(self) -> bool:
        """Where the head has no length, the answer comes in chunks."""
        end = self._answer.find(_HEAD_END)
        if end < 0:
            return False
        length = _LENGTH.search(self._answer, 0, end + 2)
        if length is not None:
            return len(self._answer) >= end + 4 + int(length[1])
        return len(self._answer) > end + 4 and self._answer.endswith(_LAST_CHUNK)

    def _count(self) -> None:
        """A stream counts when it has a first token, its usage and its end."""
        at = self._first if self._stream else time.perf_counter()
        tokens = _TOKENS.findall(self._answer) if self._stream else [b"0"]
        ended = not self._stream or b"[DONE]" in self._answer
        if at is None or not tokens or not ended or not self._answer.startswith(b"HTTP/1.1 200"):
            self._result.failed(f"{bytes(self._answer[:400])!r}")
            return
        self._result.waits_ms.append((at - self._sent) * 1_000)
        count = int(tokens[-1])
        self._result.tokens += count
        if self._stream and count > 1:
            self._result.token_ms.append((time.perf_counter() - at) * 1_000 / (count - 1))
