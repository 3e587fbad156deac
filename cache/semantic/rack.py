"""The shelf's memory: entries and the index over their questions, kept in step and in bounds."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Literal

from cache.answer_groups import AnswerGroups
from cache.index import Index, Match
from cache.indexes.flat import OVERHEAD
from cache.semantic.entry import Candidate, Entry, Vector
from cache.semantic.kept import Kept
from cache.semantic.settings import ShelfSettings
from cache.semantic.stats import ShelfStats
from serving.errors import ConfigError
from serving.storage.types import storable

SPARE_SHARE = 0.01
"""Of `max_bytes` that is made free at once when it is reached."""

WIDER = 4
"""Where expired entries are in the way, so many times as many are asked for."""

SLICE = 500
SCOPE_BYTES = OVERHEAD + 60
"""Of each scope beside its entries, its name and its places in two tables included."""

Why = Literal["evicted", "expired", "dropped"]


class Rack:
    """Changed by one thread; `nearest` and `exact` may be called from any."""

    def __init__(
        self,
        index: Index | None,
        dimensions: int,
        settings: ShelfSettings,
        clock: Callable[[], float],
    ) -> None:
        """Without an index the vectors are elsewhere."""
        self.index = index
        self._max_bytes = settings.max_bytes
        self._clock = clock
        # A full matrix grows by an eighth; what a large scope's index takes is less than this.
        vector_bytes = dimensions * 4 + dimensions // 2 + 16
        self.kept = Kept(settings.half_life_s, 0 if index is None else vector_bytes)
        self._scopes: Counter[str] = Counter()
        self.tally: Counter[str] = Counter()
        self.groups = AnswerGroups()

    def get(self, key: int) -> Entry | None:
        return self.kept.get(key)

    def nearest(self, scope: str, vector: Vector, most: int) -> list[Candidate]:
        """The nearest of the scope that are live, nearest first."""
        if self.index is None:
            raise ConfigError("vectors in pgvector are searched with `look`")
        ask = most
        while True:
            near = self.index.search(scope, vector, ask)
            live = self.known(near)
            if len(live) >= most or len(near) < ask:
                return live[:most]
            ask *= WIDER

    async def live(
        self, search: Callable[[int], Awaitable[list[Match]]], most: int
    ) -> list[Candidate]:
        """As `nearest`, by a search that may wait."""
        ask = most
        while True:
            near = await search(ask)
            live = self.known(near)
            if len(live) >= most or len(near) < ask:
                return live[:most]
            ask *= WIDER

    def known(self, near: Sequence[Match]) -> list[Candidate]:
        """Those whose entries are kept and have not expired."""
        now = self._clock()
        found = ((self.kept.get(match.key), match.cosine) for match in near)
        return [
            Candidate(entry, cosine)
            for entry, cosine in found
            if entry is not None and entry.expires_at > now
        ]

    def exact(self, scope: str, text: str) -> Entry | None:
        """The entry with this very question, without a vector."""
        entry = self.kept.asked(scope, storable(text) or "")
        return None if entry is None or entry.expires_at <= self._clock() else entry

    def keep(self, entry: Entry, vector: Vector) -> list[int]:
        """Puts the entry in the place of the one with the same question. Returns the ids of those
        that had to go for want of room.
        """
        replaced = self.kept.asked(entry.scope, entry.text)
        if replaced is not None:
            self.forget([replaced.id], "dropped")
        gone = self._make_room(self.kept.size(entry))
        self.kept.put(entry)
        self._scopes[entry.scope] += 1
        if self.index is not None:
            self.index.add(entry.scope, entry.id, vector)
        return gone

    def _make_room(self, needed: int) -> list[int]:
        limit = self._max_bytes
        if self.bytes + needed <= limit or not len(self.kept):
            return []
        enough = self.bytes + needed - limit + int(limit * SPARE_SHARE)
        gone = [entry.id for entry in self.kept.lowest(enough)]
        self.forget(gone, "evicted")
        return gone

    def forget(self, ids: Collection[int], why: Why) -> list[Entry]:
        """Takes them out of memory; those that were there."""
        gone = [entry for key in ids if (entry := self.kept.pop(key)) is not None]
        by_scope: defaultdict[str, list[int]] = defaultdict(list)
        for entry in gone:
            by_scope[entry.scope].append(entry.id)
            self.groups.forget(entry.id)
        for scope, keys in by_scope.items():
            if self.index is not None:
                self.index.remove(scope, keys)
            self._scopes[scope] -= len(keys)
            if not self._scopes[scope]:
                del self._scopes[scope]
        self.tally[why] += len(gone)
        return gone

    async def in_slices(self) -> AsyncIterator[list[int]]:
        """The ids of all entries, a slice at a time, so that nobody waits for the loop."""
        ids = self.kept.ids()
        for start in range(0, len(ids), SLICE):
            yield ids[start : start + SLICE]
            await asyncio.sleep(0)

    @property
    def bytes(self) -> int:
        """What `max_bytes` bounds."""
        return self.kept.bytes + len(self._scopes) * SCOPE_BYTES

    def size(self, scope: str) -> int:
        """How many entries the scope has."""
        return self._scopes[scope]

    def _kinds(self) -> Mapping[str, int]:
        if self.index is not None:
            return self.index.kinds()
        return {"pgvector": len(self._scopes)} if self._scopes else {}

    def stats(self, waiting: int) -> ShelfStats:
        return ShelfStats(
            entries=len(self.kept),
            scopes=len(self._scopes),
            bytes=self.bytes,
            max_bytes=self._max_bytes,
            index_bytes=0 if self.index is None else self.index.bytes,
            by_task=dict(self.kept.counts),
            index_kinds=self._kinds(),
            added=self.tally["added"],
            evicted=self.tally["evicted"],
            expired=self.tally["expired"],
            dropped=self.tally["dropped"],
            waiting=waiting,
        )
