"""What was evicted and purged of late: it holds for what is still on its way in, too."""

from collections import deque

from cachetools import LRUCache

from cache.semantic.entry import NewEntry
from cache.semantic.purge import Purge

REQUESTS = 16_384
PURGES = 256
"""How many are remembered."""


class Forgotten:
    """Times are Unix seconds."""

    def __init__(self) -> None:
        self._requests: LRUCache[str, None] = LRUCache(REQUESTS)
        self._purges: deque[tuple[float, Purge]] = deque(maxlen=PURGES)

    def evicted(self, request_id: str) -> None:
        self._requests[request_id] = None

    def purged(self, at: float, what: Purge) -> None:
        self._purges.append((at, what))

    def means(self, new: NewEntry) -> bool:
        """Whether the entry must not be kept."""
        if new.request_id in self._requests:
            return True
        asked_at = new.asked_at
        return asked_at is not None and any(
            at >= asked_at and what.means(new.question, asked_at) for at, what in self._purges
        )
