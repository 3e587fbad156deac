"""Identical requests that are on their way at the same time: one makes the answer, the others wait.

A flight belongs to its maker, which tends it every `TEND_S` and lands it at its end. A maker that
has not been heard of for `LOST_S` is gone, and its followers make the answer themselves.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import TTLCache

from serving.backend import new_id

TEND_S = 1.0
LOST_S = 4.0
LANDED_S = 2.0
"""How long a landed answer is kept for a follower who is still on the way to it."""

MAX_LANDED, MAX_LANDED_BYTES = 256, 100_000
SWEEP_AT = 256


@dataclass(slots=True, eq=False)
class _Flight:
    key: str
    heard_at: float
    followers: int = 0
    landed: asyncio.Event = field(default_factory=asyncio.Event)
    answer: bytes | None = None


class Flights:
    """For one event loop; `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_key: dict[str, str] = {}
        self._flying: dict[str, _Flight] = {}
        self._landed: TTLCache[str, bytes] = TTLCache(MAX_LANDED, LANDED_S, clock)
        self._sweep_at = SWEEP_AT

    def __len__(self) -> int:
        return len(self._flying)

    def flying(self, key: str) -> str | None:
        """The flight of that key, None where there is none, or its maker is gone."""
        known = self._by_key.get(key)
        if known is not None and self._lost(self._flying[known]):
            self.land(known, None)
            return None
        return known

    def join(self, key: str) -> tuple[str, bool]:
        """The flight of that key, and whether the caller is to make it."""
        known = self.flying(key)
        if known is not None:
            return known, False
        self._sweep()
        flight = new_id()
        self._by_key[key] = flight
        self._flying[flight] = _Flight(key, self._clock())
        return flight, True

    async def follow(self, flight: str) -> bytes | None:
        """Its answer; None where it gave none, its maker is gone, or it is not known."""
        found = self._flying.get(flight)
        if found is None:
            return self._landed.get(flight)
        found.followers += 1
        try:
            while not found.landed.is_set():
                try:
                    async with asyncio.timeout(TEND_S):
                        await found.landed.wait()
                except TimeoutError:
                    if self._lost(found):
                        self.land(flight, None)
        finally:
            found.followers -= 1
        return found.answer

    def tend(self, flight: str) -> int:
        """How many follow it; none where it is over."""
        found = self._flying.get(flight)
        if found is None:
            return 0
        found.heard_at = self._clock()
        return found.followers

    def land(self, flight: str, answer: bytes | None) -> None:
        found = self._flying.pop(flight, None)
        if found is None:
            return
        del self._by_key[found.key]
        if answer is not None and len(answer) <= MAX_LANDED_BYTES:
            self._landed[flight] = answer
        found.answer = answer
        found.landed.set()

    def _lost(self, flight: _Flight) -> bool:
        return self._clock() - flight.heard_at > LOST_S

    def _sweep(self) -> None:
        """Makers that died without followers would stay for ever."""
        if len(self._flying) < self._sweep_at:
            return
        for flight in [f for f, found in self._flying.items() if self._lost(found)]:
            self.land(flight, None)
        self._sweep_at = max(SWEEP_AT, 2 * len(self._flying))
