"""A bounded number of calls at once and a bounded queue in front, first come, first served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio


class QueueFull(Exception):
    """As many wait as may."""


class WaitedTooLong(Exception):
    """Its turn did not come in time, or `Waits.end` sent it away."""


class Waits:
    """Waits that have a limit each, and may be ended all together."""

    def __init__(self) -> None:
        self._now: set[asyncio.Timeout] = set()

    def __len__(self) -> int:
        return len(self._now)

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """`WaitedTooLong` where what stands within takes longer, or `end` was called."""
        wait = asyncio.timeout(max(0.0, seconds))
        try:
            async with wait:
                self._now.add(wait)
                yield
        except TimeoutError:
            raise WaitedTooLong from None
        finally:
            self._now.discard(wait)

    def end(self) -> None:
        """Sends away all that wait now."""
        now = asyncio.get_running_loop().time()
        for wait in self._now:
            if not wait.expired():
                wait.reschedule(now)


class Slots:
    """At most `limit` calls hold a slot; up to `max_queued` more wait for one, in order."""

    def __init__(self, limit: int, *, max_queued: int) -> None:
        self._limiter = anyio.CapacityLimiter(limit)
        self._max_queued = max_queued
        self._waits = Waits()

    @property
    def running(self) -> int:
        return self._limiter.borrowed_tokens

    @property
    def queued(self) -> int:
        return len(self._waits)

    @property
    def limit(self) -> int:
        return int(self._limiter.total_tokens)

    def resize(self, limit: int) -> None:
        """A higher limit lets waiters in at once; a lower one holds as calls end."""
        self._limiter.total_tokens = limit

    async def acquire(self, seconds: float) -> object:
        """A slot, to be given to `release`; waits up to `seconds` for it. A waiter that is
        cancelled leaves the queue. `QueueFull`, `WaitedTooLong`.
        """
        slot = object()
        with suppress(anyio.WouldBlock):
            self._limiter.acquire_on_behalf_of_nowait(slot)
            return slot
        if len(self._waits) >= self._max_queued:
            raise QueueFull
        async with self._waits.within(seconds):
            await self._limiter.acquire_on_behalf_of(slot)
        return slot

    def release(self, slot: object) -> None:
        self._limiter.release_on_behalf_of(slot)

    def end_waits(self) -> None:
        """Sends away all that wait now."""
        self._waits.end()
