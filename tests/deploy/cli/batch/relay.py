"""A relay on a port that stays, in front of servers that come and go; it can break connections."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Relay:
    """Connections go to `target`; None refuses them by closing. Answers to a request whose head
    begins with a text in `cuts` are cut after so many bytes, each as often as it stands there.
    """

    port: int = 0
    target: int | None = None
    cuts: list[tuple[str, int]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection, so that each has its own fate."""
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._carry(reader, writer)
        finally:
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n", 1)[0].decode()
        self.heads.append(line)
        if self.target is None:
            return
        cut = next((c for c in self.cuts if line.startswith(c[0])), None)
        if cut is not None:
            self.cuts.remove(cut)
        behind, ahead = await asyncio.open_connection("127.0.0.1", self.target)
        head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        ahead.write(head)
        up = asyncio.create_task(_copy(reader, ahead))
        try:
            await _copy(behind, writer, most=None if cut is None else cut[1])
        finally:
            up.cancel()
            ahead.close()


async def _copy(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, most: int | None = None
) -> None:
    while data := await source.read(65_536):
        if most is not None:
            data = data[:most]
            most -= len(data)
        if not data:
            return
        target.write(data)
        await target.drain()


@contextmanager
def relaying(target: int | None = None) -> Iterator[Relay]:
    relay, up = Relay(target=target), threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
        relay.port = server.sockets[0].getsockname()[1]
        up.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="relay")
    thread.start()
    assert up.wait(10)
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
