"""Hands items from tasks that make them to one task that takes them, all that are ready at once."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Bounded: a writer that puts the `room`-th item waits until the reader has taken them. Items
    put before a failure are taken before it is raised. `writers` is how many will call `end`.
    """

    def __init__(self, *, room: int, writers: int) -> None:
        self._room = room
        self._writers = writers
        self._items: list[T] = []
        self._error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._space = asyncio.Event()

    async def put(self, item: T) -> None:
        self._items.append(item)
        self._wake()
        while len(self._items) >= self._room:
            self._space.clear()
            await self._space.wait()

    def end(self) -> None:
        """One writer has nothing more."""
        self._writers -= 1
        if not self._writers:
            self._wake()

    def fail(self, error: BaseException, *, at_once: bool = False) -> None:
        """The first failure is the one that is raised; `at_once` drops what was not taken."""
        if at_once:
            self._items.clear()
        self._error = self._error or error
        self._wake()

    @property
    def ended(self) -> bool:
        """Every writer has ended and everything was taken."""
        return not self._writers and not self._items and self._error is None

    async def take(self, timeout_s: float) -> list[T]:
        """All that is ready, in order, waiting only where nothing is; empty when nothing came in
        `timeout_s` or all has ended. Raises what a writer failed with.
        """
        if not self._items and self._error is None and self._writers:
            await self._wait(timeout_s)
        if self._items:
            items, self._items = self._items, []
            self._space.set()
            return items
        if self._error is not None:
            raise self._error
        return []

    async def _wait(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        timer = loop.call_later(max(0.0, timeout_s), self._wake)
        try:
            await self._reader
        finally:
            timer.cancel()
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
