"""A bounded number of calls at once and bounded queues in front, first come, first served: one of
calls that somebody waits for, and one of those that can wait.
"""

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


IDLE_SHARE = 0.9
"""Calls that can wait never hold more of the slots than this, so that others find one free."""


LEAST_LEFT_S = 0.25
"""Who waited as long as it could is sent away so long before its deadline, to say so in time."""


def idle_patience(left_s: float, mean_s: float) -> float:
    """A call that can wait does so for as long as it would still be answered in time: `left_s` is
    its time, `mean_s` what a call takes.
    """
    return left_s - max(LEAST_LEFT_S, min(mean_s, left_s / 2))


class Slots:
    """At most `limit` calls hold a slot; up to `max_queued` more wait for one, in order. As many
    again that are `idle`, which can wait, get one while nobody else waits.
    """

    def __init__(self, limit: int, *, max_queued: int) -> None:
        self._limiter = anyio.CapacityLimiter(limit)
        self._max_queued = max_queued
        self._waits = Waits()
        self._idle_waits = Waits()
        self._idle_queue: dict[object, asyncio.Event] = {}
        self._idle: set[object] = set()

    @property
    def running(self) -> int:
        return self._limiter.borrowed_tokens

    @property
    def queued(self) -> int:
        return len(self._waits)

    @property
    def idle_queued(self) -> int:
        return len(self._idle_queue)

    @property
    def limit(self) -> int:
        return int(self._limiter.total_tokens)

    def resize(self, limit: int) -> None:
        """A higher limit lets waiters in at once; a lower one holds as calls end."""
        self._limiter.total_tokens = limit
        self._let_idle_in()

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
        try:
            async with self._waits.within(seconds):
                await self._limiter.acquire_on_behalf_of(slot)
        except BaseException:
            self._let_idle_in()  # it may have been given a slot in the moment that it went
            raise
        return slot

    async def acquire_idle(self, seconds: float) -> object:
        """As `acquire`, behind all who do not wait here."""
        slot, admitted = object(), asyncio.Event()
        if len(self._idle_queue) >= self._max_queued and not self._free:
            raise QueueFull
        self._idle_queue[slot] = admitted
        self._let_idle_in()
        if admitted.is_set():
            return slot
        async with self._idle_waits.within(seconds):
            try:
                await admitted.wait()
            except BaseException:
                if self._idle_queue.pop(slot, None) is None:  # let in, and gone in the same moment
                    self.release(slot)
                raise
        return slot

    def release(self, slot: object) -> None:
        self._limiter.release_on_behalf_of(slot)
        self._idle.discard(slot)
        self._let_idle_in()

    def end_waits(self) -> None:
        """Sends away all that wait now."""
        self._waits.end()
        self._idle_waits.end()

    @property
    def _free(self) -> bool:
        """There is a slot for a call that can wait."""
        most = max(1, int(self.limit * IDLE_SHARE))
        if len(self._idle) >= most or self.running >= self.limit:
            return False
        return not self._limiter.statistics().tasks_waiting

    def _let_idle_in(self) -> None:
        while self._idle_queue and self._free:
            slot, admitted = next(iter(self._idle_queue.items()))
            self._limiter.acquire_on_behalf_of_nowait(slot)
            del self._idle_queue[slot]
            self._idle.add(slot)
            admitted.set()
