"""Notices when the hit rate of a feature falls below its own past.

The hit rate of a call is the share of its prompt tokens that was read from the cache. The mean of
the latest window of calls is compared with that of all calls before it, each as a Wilson interval:
of all values in [0, 1] with a given mean, ones and zeros vary most, so the binomial interval is
the widest and an alert is on the safe side. Windows do not overlap, so each call is tested once.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from cachetools import LRUCache

KEPT = 1_000
PAST_WINDOWS = 10.0
"""The past weighs as much as so many windows at most, so that it stays the recent past."""


@dataclass(frozen=True, slots=True)
class Fall:
    """Mean hit rates before and now, the bounds that do not touch, and the calls behind each."""

    before: float
    now: float
    lowest_before: float
    highest_now: float
    calls_before: int
    calls_now: int


@dataclass(slots=True)
class _Series:
    past_sum: float = 0.0
    past_calls: float = 0.0
    window_sum: float = 0.0
    window_calls: int = 0


class HitRates:
    """By tenant and feature, the `KEPT` seen last."""

    def __init__(self, *, window: int, confidence: float) -> None:
        self._window = window
        self._z = NormalDist().inv_cdf((1 + confidence) / 2)
        self._series: LRUCache[tuple[str, str], _Series] = LRUCache(KEPT)

    def add(self, tenant: str, feature: str, share: float) -> Fall | None:
        """A call whose prompt was read to this share; a fall is told once, at a window's end."""
        series = self._series.get((tenant, feature))
        if series is None:
            series = self._series[tenant, feature] = _Series()
        series.window_sum += share
        series.window_calls += 1
        if series.window_calls < self._window:
            return None
        fall = self._fall(series)
        if fall is not None:  # from now on this is what is usual
            series.past_sum = series.past_calls = 0.0
        series.past_sum += series.window_sum
        series.past_calls += series.window_calls
        most = PAST_WINDOWS * self._window
        if series.past_calls > most:
            series.past_sum *= most / series.past_calls
            series.past_calls = most
        series.window_sum, series.window_calls = 0.0, 0
        return fall

    def _fall(self, series: _Series) -> Fall | None:
        if series.past_calls < self._window:
            return None
        before = series.past_sum / series.past_calls
        now = series.window_sum / series.window_calls
        lowest, _ = wilson(before, series.past_calls, self._z)
        _, highest = wilson(now, series.window_calls, self._z)
        if highest >= lowest:
            return None
        calls = round(series.past_calls), series.window_calls
        return Fall(before, now, lowest, highest, *calls)


def wilson(mean: float, count: float, z: float) -> tuple[float, float]:
    """Wilson's score interval (1927) for a share: the shares under which a mean of `count`
    observations lies within `z` standard errors.
    """
    spread = z * sqrt(mean * (1 - mean) / count + z * z / (4 * count * count))
    middle, scale = mean + z * z / (2 * count), 1 + z * z / count
    return (middle - spread) / scale, (middle + spread) / scale
