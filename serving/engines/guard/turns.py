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
    """First come, first served. Nobody waits where the pace slows nothing."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._next = asyncio.Lock()
        self._waits = Waits()

    async def take(self, seconds: float) -> None:
        """Returns when the call may leave, and counts it as gone. A call that is only to be slowed
        waits up to `seconds` and leaves then, since there is something left for it. `NothingLeft`
        at once where there is not, and will not be in time; `WaitedTooLong` where others were in
        front for all that time, or `end_waits` was called.
        """
        if not self._next.locked() and not self._pace.wait().seconds:
            self._pace.leaves()
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with self._waits.within(seconds):
            await self._next.acquire()
        try:
            await self._until_it_may(loop, until)
            self._pace.leaves()
        finally:
            self._next.release()

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
