"""Answers in the making: each in a task of its own, so that it outlives its client while others
wait for it, and ends when nobody does.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from cache.semantic.flights import TEND_S
from serving.wire.completion import Chunk

T = TypeVar("T")
LEFT_S = 0.1
"""How often is asked whether anyone still follows, once the maker's own client has left."""

MAX_READY = 64
"""Chunks that may wait for a client who reads slowly."""

Tend = Callable[[str], Awaitable[int]]


class Making:
    """`tend` is that of the memory; it must not raise."""

    def __init__(self, tend: Tend) -> None:
        self._tend = tend
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Makers, watchers and what goes on in the background."""
        return len(self._tasks)

    def begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Work that is ended by `close` at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    async def whole(self, work: Coroutine[Any, Any, T], flight: str | None) -> T:
        """What `work` returns or raises."""
        task, left = self._fly(work, flight)
        try:
            return await asyncio.shield(task)
        finally:
            left.set()

    async def streamed(
        self, work: Coroutine[Any, Any, None], relay: "Relay", flight: str | None
    ) -> AsyncGenerator[Chunk, None]:
        """What `work` puts into the relay, then what it raises."""
        task, left = self._fly(work, flight)
        task.add_done_callback(lambda _: relay.end())
        try:
            while (chunk := await relay.next()) is not None:
                yield chunk
            await asyncio.shield(task)
        finally:
            relay.leave()
            left.set()

    async def close(self, patience_s: float) -> None:
        """Waits for what is under way, then ends it. Nothing begins any more by then."""
        if tasks := tuple(self._tasks):
            await asyncio.wait(tasks, timeout=patience_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _fly(
        self, work: Coroutine[Any, Any, T], flight: str | None
    ) -> tuple["asyncio.Task[T]", asyncio.Event]:
        """Its task, and the event that says that its own client wants no more of it."""
        left = asyncio.Event()
        task = self.begin(work)
        self.begin(self._watch(task, flight, left))
        return task, left

    async def _watch(
        self, task: "asyncio.Task[Any]", flight: str | None, left: asyncio.Event
    ) -> None:
        leaving = asyncio.create_task(left.wait())
        try:
            while not task.done():
                if not left.is_set():
                    first = asyncio.FIRST_COMPLETED
                    await asyncio.wait((task, leaving), timeout=TEND_S, return_when=first)
                if task.done():
                    return
                followers = 0 if flight is None else await self._tend(flight)
                if left.is_set() and not followers:
                    task.cancel()
                    return
                if left.is_set():
                    await asyncio.wait((task,), timeout=LEFT_S)
        finally:
            leaving.cancel()

    def _over(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # of a maker whose client has left nobody asks for it


class Relay:
    """From one maker of chunks to one reader, who may leave."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()
        self._ready, self._room = asyncio.Event(), asyncio.Event()
        self._ended = self._left = False

    async def put(self, chunk: Chunk) -> None:
        """Waits while the reader is far behind; goes nowhere once it has left."""
        while len(self._chunks) >= MAX_READY and not self._left:
            self._room.clear()
            await self._room.wait()
        if not self._left:
            self._chunks.append(chunk)
            self._ready.set()

    async def next(self) -> Chunk | None:
        """None at the end."""
        while not self._chunks:
            if self._ended:
                return None
            self._ready.clear()
            await self._ready.wait()
        self._room.set()
        return self._chunks.popleft()

    def end(self) -> None:
        self._ended = True
        self._ready.set()

    def leave(self) -> None:
        self._left = True
        self._chunks.clear()
        self._room.set()
