"""A real HTTP receiver of webhooks, whose answers a test scripts byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

SECRET = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cy0wMTIzNDU2Nzg5YWI="
OLD_SECRET = "whsec_b2xkLXNlY3JldC1vZi10aGUtdGVzdHMtMDEyMzQ1Njc="
FINE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Got:
    """One request as it arrived, names of headers in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes


Script = Callable[[Got, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """`script` writes the answer; by default all is well."""

    port: int = 0
    script: Script | None = None
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def count(self, number: int) -> None:
        """Waits until so many requests have arrived."""
        async with asyncio.timeout(30):
            while len(self.got) < number:
                self.arrived.clear()
                await self.arrived.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            got = await _read(reader)
            self.got.append(got)
            self.arrived.set()
            if self.script is None:
                writer.write(FINE)
            else:
                await self.script(got, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender may leave when it likes
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Got:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = head[0].split(" ")
    assert method == "POST"
    return Got(target, headers, body)


@asynccontextmanager
async def receiving(
    script: Script | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(script=script)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


def answers(*statuses: int, headers: str = "") -> Script:
    """These statuses one after the other, the last one from then on."""
    left = list(statuses)

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        status = left.pop(0) if len(left) > 1 else left[0]
        writer.write(f"HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\n\r\n".encode())

    return script
