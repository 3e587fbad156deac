"""Cached answers in memory: bounded in bytes, each with its own time to live."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache, TLRUCache

from serving.wire.completion import Completion

PER_ENTRY = 1_000
"""Bytes of an entry beside its answer: key, links and bookkeeping."""

REMEMBERED_EVICTIONS = 4_096


@dataclass(frozen=True, slots=True)
class Entry:
    """An accepted answer and where it came from. `tier`, `model` and `simulated` are those of the
    attempt that made it, `attempt_id` its row in the ledger; `size` is in bytes; `stored_at` and
    `ttl_s` are in seconds on the clock of `Entries`; `look` says which evictions elsewhere were
    known when it was asked for (see `Epochs`).
    """

    completion: Completion
    tier: str
    model: str
    simulated: bool
    dropped: tuple[str, ...]
    request_id: str
    attempt_id: str
    size: int
    stored_at: float
    ttl_s: float
    look: int = 0


class Entries:
    """The least recently used entries go first when `max_bytes` is reached."""

    def __init__(self, max_bytes: int, clock: Callable[[], float]) -> None:
        self._kept: TLRUCache[str, Entry] = TLRUCache(
            max_bytes,
            ttu=lambda _key, entry, now: now + entry.ttl_s,
            timer=clock,
            getsizeof=lambda entry: entry.size,
        )
        self._key_of: dict[str, str] = {}
        self._evicted: LRUCache[str, None] = LRUCache(REMEMBERED_EVICTIONS)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """What the live entries take; at most `max_bytes`."""
        return math.ceil(self._kept.currsize)

    def get(self, key: str) -> Entry | None:
        return self._kept.get(key)

    def put(self, key: str, entry: Entry) -> bool:
        """False where the entry is larger than the whole cache, or its answer was found wrong
        before it arrived here.
        """
        if entry.size > self._kept.maxsize or entry.request_id in self._evicted:
            return False
        self._kept[key] = entry
        self._key_of[entry.request_id] = key
        if len(self._key_of) > 2 * len(self._kept) + 64:
            self._key_of = {e.request_id: k for k, e in self._kept.items()}
        return True

    def drop(self, key: str) -> None:
        """Forgets what is kept under `key`."""
        self._kept.pop(key, None)

    def clear(self) -> None:
        self._kept.clear()
        self._key_of.clear()

    def evict(self, request_id: str) -> bool:
        """Forgets the answer that this request made; a later one to the same question stays. The
        id is remembered, so that an answer which is still on its way in is not kept either.
        """
        self._evicted[request_id] = None
        key = self._key_of.pop(request_id, None)
        entry = None if key is None else self._kept.get(key)
        if key is None or entry is None or entry.request_id != request_id:
            return False
        del self._kept[key]
        return True
