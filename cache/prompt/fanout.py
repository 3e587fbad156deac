"""One call of a fan-out goes ahead; the others wait until its answer has begun.

A stored prefix can be read only once the answer to the request that wrote it has begun. Calls that
arrive together would each write it, and pay for that.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Self

MAX_WAITING = 10_000


class Lead:
    """The right to write some prefixes while others wait. Leaving its context without an answer
    having begun (an error, a cancelled call) hands it over: who waits looks again, and the first
    of them takes the lead.
    """

    __slots__ = ("_ended", "_over", "keys")

    def __init__(self, keys: Sequence[bytes], ended: Callable[["Lead"], None]) -> None:
        self.keys = tuple(keys)
        self._ended = ended
        self._over = asyncio.Event()

    def began(self) -> None:
        """The answer has begun, or never will."""
        if not self._over.is_set():
            self._ended(self)
            self._over.set()

    async def over(self) -> None:
        await self._over.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.began()


class FanOut:
    """Who writes what at this moment, in one process. Bounded by the calls in flight; beyond
    `MAX_WAITING` that wait nobody waits any more.
    """

    def __init__(self) -> None:
        self._leads: dict[bytes, Lead] = {}
        self.waiting = 0

    def ahead(self, keys: Sequence[bytes]) -> Lead | None:
        """Who is writing one of these prefixes; of several the one that stands first in `keys`."""
        return next((lead for key in keys if (lead := self._leads.get(key))), None)

    def lead(self, keys: Sequence[bytes]) -> Lead:
        """Takes the lead for those of the prefixes that nobody writes; use it as a context."""
        mine = [key for key in keys if key not in self._leads]
        lead = Lead(mine, self._ended)
        self._leads |= dict.fromkeys(mine, lead)
        return lead

    async def wait(self, lead: Lead, seconds: float) -> bool:
        """Until `lead` is over, at most so long; False where it was not in time."""
        if seconds <= 0 or self.waiting >= MAX_WAITING:
            return False
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await lead.over()
        except TimeoutError:
            return False
        finally:
            self.waiting -= 1
        return True

    async def clear(self, keys: Sequence[bytes], seconds: float) -> bool:
        """Until nobody writes any of these prefixes, at most so long; False where it was not in
        time. Whoever comes first takes the lead in the same turn of the loop; the others wait on.
        """
        until = monotonic() + seconds
        while (lead := self.ahead(keys)) is not None:
            if not await self.wait(lead, until - monotonic()):
                return False
        return True

    def _ended(self, lead: Lead) -> None:
        for key in lead.keys:
            if self._leads.get(key) is lead:
                del self._leads[key]
