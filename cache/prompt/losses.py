"""What an invalidator costs: by the prices, and by how often the feature is called."""

from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from cache.prompt.blocks import PromptChain
from cache.prompt.chain import TTL_S
from cache.prompt.invalidators import Found
from cache.prompt.sent import Earlier

KEPT = 1_000
SMOOTHING = 0.05
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class InputPrices:
    """USD per prompt token: plain, and read from the cache. What is lost is an estimate, and is
    billed to nobody, so these are floats.
    """

    input: float
    read: float


@dataclass(frozen=True, slots=True)
class Loss:
    """USD that would have been saved on this call, and are lost in a day at the present rate."""

    per_call: float
    per_day: float


@dataclass(slots=True)
class _Pace:
    last: float
    gap: float | None = None


class Losses:
    """Knows the mean gap between the calls of each feature. `clock` counts seconds."""

    def __init__(self, prices: InputPrices | None, clock: Callable[[], float]) -> None:
        self._prices, self._clock = prices, clock
        self._paces: LRUCache[tuple[str, str], _Pace] = LRUCache(KEPT)

    def called(self, tenant: str, feature: str) -> None:
        now, pace = self._clock(), self._paces.get((tenant, feature))
        if pace is None:
            self._paces[tenant, feature] = _Pace(now)
            return
        gap, pace.last = max(0.0, now - pace.last), now
        pace.gap = gap if pace.gap is None else pace.gap + SMOOTHING * (gap - pace.gap)

    def of(
        self, found: Found, tenant: str, feature: str, chain: PromptChain, earlier: Earlier
    ) -> Loss | None:
        """None where the price is not known. What could have been read goes from the volatile
        block to the end of what the call has in common with the ones before it: its system prompt,
        and of a conversation the turns before.
        """
        if self._prices is None:
            return None
        pace = self._paces.get((tenant, feature))
        gap = None if pace is None else pace.gap
        if found.repaired or gap is None or gap > TTL_S["1h"]:
            return Loss(0.0, 0.0)
        end = max(chain.shared - 1, found.index, earlier.turn)
        before = chain.ends[found.index - 1] if found.index else 0
        usd = (chain.ends[end] - before) * max(0.0, self._prices.input - self._prices.read)
        return Loss(usd, usd * DAY_S / max(gap, 0.001))
