"""Which entry to give up first: what it saves, how often and how lately, for its memory."""

import heapq
import math
from collections.abc import Callable, Container

from cache.semantic.entry import Entry

LEAST_SAVED_USD = 1e-6
"""What a hit saves where the cost is unknown or nothing: time, if no money."""

SLACK = 64


def worth(entry: Entry, size: int, half_life_s: float) -> float:
    """log2 of saved dollars x (1 + hits) / bytes x 2^(time of last use / half-life).

    Halving with time is alike for all, so the order of two entries changes only when one is hit:
    the value needs no clock and no second look.
    """
    saved = LEAST_SAVED_USD
    if entry.cost_usd is not None:
        saved = max(saved, float(entry.cost_usd))
    used = entry.created_at if entry.last_hit_at is None else entry.last_hit_at
    return math.log2(saved * (1 + entry.hits) / size) + used / half_life_s


class Order:
    """Entries by what they are worth; putting and taking one is O(log n). A hit makes an entry
    worth more, so its place only says what it was worth at least, and is looked at again when its
    turn comes. Places of entries that are gone are passed over, and cleared when they are the most.
    """

    def __init__(self, current: Callable[[int], float | None]) -> None:
        """`current` gives an entry's worth, None where it is gone."""
        self._current = current
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        """Places, those of entries that are gone included."""
        return len(self._heap)

    def put(self, key: int, value: float) -> None:
        """An entry that has no place yet."""
        heapq.heappush(self._heap, (value, key))

    def trim(self, keys: Container[int]) -> None:
        """`keys` are all that there are."""
        self._heap = [place for place in self._heap if place[1] in keys]
        heapq.heapify(self._heap)

    def lowest(self) -> int | None:
        """Takes the entry that is worth least; None where there is none."""
        while self._heap:
            value, key = heapq.heappop(self._heap)
            now = self._current(key)
            if now is not None and now > value:
                heapq.heappush(self._heap, (now, key))
            elif now is not None:
                return key
        return None
