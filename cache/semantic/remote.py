"""The memory behind a Ray Serve handle: one for all gateways.

What a method is given and gives back are plain values. What it raises comes as what Ray makes of
it; to a gateway that is a miss, whatever it is. Without a running replica that is known at once.
"""

import asyncio
from typing import Any

from cache.semantic.memory import Found, Memory, Offered, Verdict
from cache.semantic.question import Asked
from serving.engines.remote.handle import PICKLED, Handle
from serving.engines.remote.replicas import running_replicas
from serving.errors import TierUnavailable

METHODS = ("look_up", "follow", "tend", "land", "used", "offer", "verdict", "evict")


class HandleMemory:
    """A `Memory`; `handle` is that of a deployment whose replica has `ask` (see `answer`)."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle.options(method_name="ask", _by_reference=False, **PICKLED)
        self._started = False

    @property
    def started(self) -> bool:
        """Whether its replica has ever been there."""
        self._started = self._started or running_replicas(self._handle) != 0
        return self._started

    async def look_up(self, asked: Asked) -> Found:
        found: Found = await self._ask("look_up", asked)
        return found

    async def follow(self, flight: str) -> bytes | None:
        answer: bytes | None = await self._ask("follow", flight)
        return answer

    async def tend(self, flight: str) -> int:
        return int(await self._ask("tend", flight))

    async def land(self, flight: str, answer: bytes | None) -> None:
        await self._ask("land", flight, answer)

    async def used(self, task: str, entry_id: int, score: float) -> None:
        await self._ask("used", task, entry_id, score)

    async def offer(self, offered: Offered) -> None:
        await self._ask("offer", offered)

    async def verdict(self, verdict: Verdict) -> bool | None:
        right: bool | None = await self._ask("verdict", verdict)
        return right

    async def evict(self, request_id: str) -> bool:
        return bool(await self._ask("evict", request_id))

    async def _ask(self, method: str, *arguments: Any) -> Any:
        if running_replicas(self._handle) == 0:
            raise TierUnavailable("the semantic cache's replica is not running")
        response = self._handle.remote(method, *arguments)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise


async def answer(memory: Memory, method: str, *arguments: Any) -> Any:
    """The replica's side of `HandleMemory`."""
    if method not in METHODS:
        raise ValueError(f"no method {method!r}")
    return await getattr(memory, method)(*arguments)
