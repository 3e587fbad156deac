"""The emulator's one clock: cache lifetimes, rate limits, batches and dates all go by it."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

MAX_ADVANCE_S = 10 * 365 * 86_400.0


class Clock:
    """Counts seconds from where `source` stands at the start. A `movable` clock can be advanced,
    never set back; one that is not `running` stands still but for that. `epoch` is the date at the
    start. Alarms ring in order, one after the other, and when the clock is advanced each of them
    finds it at its own time. Only alarms need a running event loop.
    """

    def __init__(
        self,
        *,
        movable: bool = False,
        running: bool = True,
        source: Callable[[], float] = time.monotonic,
        epoch: datetime | None = None,
    ) -> None:
        if not (movable or running):
            raise ValueError("a clock that stands still must be movable")
        self.movable, self.running = movable, running
        self._source, self._offset = source, 0.0
        self._began = source()
        self._held: float | None = None if running else self._began
        self._epoch = epoch or datetime.now(UTC)
        self._alarms: list[tuple[float, int, Callable[[], Awaitable[None]]]] = []
        self._order = itertools.count()
        self._ringing, self._changed = asyncio.Lock(), asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None

    def __call__(self) -> float:
        """Seconds, on a scale of its own."""
        return self._source() + self._offset if self._held is None else self._held

    def date(self, moment: float | None = None) -> datetime:
        """The date of a moment on this clock, by default now."""
        return self._epoch + timedelta(seconds=(self() if moment is None else moment) - self._began)

    def alarm(self, at: float, ring: Callable[[], Awaitable[None]]) -> None:
        """Calls `ring`, which must not raise, once the clock has reached `at`."""
        heappush(self._alarms, (at, next(self._order), ring))
        self._changed.set()
        if self._ticker is None or self._ticker.done():
            self._ticker = asyncio.create_task(self._tick())

    async def advance(self, seconds: float) -> None:
        """Moves on by so much; what is due by then has happened when this returns. `ValueError`
        where the clock cannot be moved like that.
        """
        if not self.movable:
            raise ValueError("this clock cannot be moved")
        if not 0 <= seconds <= MAX_ADVANCE_S:
            raise ValueError(f"a clock is advanced by 0 to {MAX_ADVANCE_S:.0f} seconds")
        async with self._ringing:
            self._held = self()
            target = self._held + seconds
            try:
                await self._ring(target)
            finally:
                self._release(target)
        self._changed.set()

    async def aclose(self) -> None:
        """No alarm rings any more."""
        self._alarms.clear()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
            self._ticker = None

    def _release(self, at: float) -> None:
        if self.running:
            self._offset, self._held = at - self._source(), None
        else:
            self._held = at

    async def _ring(self, until: float) -> None:
        while self._alarms and self._alarms[0][0] <= until:
            at, _, ring = heappop(self._alarms)
            if self._held is not None:
                self._held = max(self._held, at)
            await ring()

    async def _tick(self) -> None:
        """Rings what comes due while nobody moves the clock."""
        while self._alarms:
            wait = self._alarms[0][0] - self()
            if wait <= 0:
                async with self._ringing:
                    await self._ring(self())
                continue
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait if self._held is None else None):
                    await self._changed.wait()
