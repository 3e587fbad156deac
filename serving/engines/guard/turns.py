"""Calls leave one after the other, as far apart as the pace says."""

import asyncio

from serving.engines.guard.pace import Pace, Wait
from serving.engines.guard.slots import Waits


class NothingLeft(Exception):
    """The provider would refuse the call, and will for longer than it can wait."""

    def __init__(self, wait: Wait) -> None:
        super().__init__()
        self.wait = wait


class Turns:
    """First come, first served, those that can wait behind all others. Nobody waits where the pace
    slows nothing.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._next = asyncio.Lock()
        self._next_idle = asyncio.Lock()
        self._waits = Waits()

    async def take(self, seconds: float, *, idle: bool = False) -> None:
        """Returns when the call may leave, and counts it as gone. A call that is only to be slowed
        waits up to `seconds` and leaves then, since there is something left for it. `NothingLeft`
        at once where there is not, and will not be in time; `WaitedTooLong` where others were in
        front for all that time, or `end_waits` was called. One that is `idle` is in nobody's way.
        """
        if not self._next.locked() and not self._pace.wait().seconds:
            self._pace.leaves()
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if idle:
            await self._take_idle(loop, until)
            return
        async with self._waits.within(seconds):
            await self._next.acquire()
        try:
            await self._until_it_may(loop, until)
            self._pace.leaves()
        finally:
            self._next.release()

    async def _take_idle(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        """It is next only for the moment in which it looks: others come first while it waits."""
        async with self._waits.within(until - loop.time()):
            await self._next_idle.acquire()
        try:
            while True:
                async with self._waits.within(until - loop.time()):
                    await self._next.acquire()
                try:
                    wait, left = self._pace.wait(), until - loop.time()
                    if not wait.seconds or (left <= 0 and not wait.empty):
                        self._pace.leaves()
                        return
                finally:
                    self._next.release()
                if wait.empty and wait.seconds > left:
                    raise NothingLeft(wait)
                async with self._waits.within(left + 1.0):
                    await asyncio.sleep(min(wait.seconds, left))
        finally:
            self._next_idle.release()

    def end_waits(self) -> None:
        """Sends away all that wait now."""
        self._waits.end()

    async def _until_it_may(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        while (wait := self._pace.wait()).seconds:  # what is reported meanwhile counts
            left = until - loop.time()
            if wait.empty and wait.seconds > left:
                raise NothingLeft(wait)
            if left <= 0:
                return
            async with self._waits.within(left + 1.0):  # ends early only where it is ended
                await asyncio.sleep(min(wait.seconds, left))
