"""The entries in memory, found by id, by question and by the request that made them."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from hashlib import blake2b
from operator import attrgetter
from typing import Any

from cache.semantic.entry import Entry
from cache.semantic.worth import SLACK, Order, worth

FIXED = 910
"""Bytes of an entry beside its texts, measured on the high side: the object, its numbers and its
places in four tables.
"""


def size_of(entry: Entry) -> int:
    """Bytes of the entry, its vector not counted. Names of tenants, tasks, tiers and models are
    shared by many entries.
    """
    texts = sys.getsizeof(entry.text) + sys.getsizeof(entry.request_id)
    marks = sum(map(sys.getsizeof, entry.tags)) + sys.getsizeof(entry.document or "")
    return FIXED + texts + marks + sys.getsizeof(entry.packed)


_NAMES = [field.name for field in fields(Entry)]
_EXPIRES_AT = _NAMES.index("expires_at")
_row = attrgetter(*_NAMES)


class Kept:
    """Changed by one thread; `get` may be called from any."""

    def __init__(self, half_life_s: float, vector_bytes: int) -> None:
        """`vector_bytes`: what an entry's vector takes in the index, counted with the entry."""
        self._half_life_s = half_life_s
        self._vector_bytes = vector_bytes
        # As tuples of plain values, which Python's garbage collector need not look through: it
        # would stop everything for a tenth of a second at 100,000 entries.
        self._entries: dict[int, tuple[Any, ...]] = {}
        self._by_question: dict[int, int] = {}
        self._by_request: dict[str, int | tuple[int, ...]] = {}
        self._order = Order(self._worth)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: int) -> Entry | None:
        row = self._entries.get(key)
        return None if row is None else Entry(*row)

    def ids(self) -> list[int]:
        return list(self._entries)

    def asked(self, scope: str, text: str) -> Entry | None:
        """The entry with this very question."""
        entry = self.get(self._by_question.get(_question(scope, text), -1))
        if entry is None or entry.scope != scope or entry.text != text:
            return None
        return entry

    def of_request(self, request_id: str) -> Sequence[Entry]:
        ids = self._by_request.get(request_id, ())
        found = (self.get(i) for i in ((ids,) if isinstance(ids, int) else ids))
        return [entry for entry in found if entry is not None]

    def size(self, entry: Entry) -> int:
        return size_of(entry) + self._vector_bytes

    def put(self, entry: Entry) -> None:
        """An entry that is not there yet."""
        self._entries[entry.id] = _row(entry)
        self._by_question[_question(entry.scope, entry.text)] = entry.id
        before = self._by_request.get(entry.request_id)
        if before is None:
            self._by_request[entry.request_id] = entry.id
        else:
            others = (before,) if isinstance(before, int) else before
            self._by_request[entry.request_id] = (*others, entry.id)
        size = self.size(entry)
        self.bytes += size
        self.counts[entry.tenant, entry.task] += 1
        self._order.put(entry.id, worth(entry, size, self._half_life_s))
        if len(self._order) > 2 * len(self._entries) + SLACK:
            self._order.trim(self._entries)

    def used(self, entry: Entry, at: float) -> None:
        """Counts a hit."""
        self._entries[entry.id] = _row(replace(entry, hits=entry.hits + 1, last_hit_at=at))

    def judged(self, entry: Entry, *, wrong: bool) -> None:
        right, bad = entry.right + (not wrong), entry.wrong + wrong
        self._entries[entry.id] = _row(replace(entry, right=right, wrong=bad))

    def pop(self, key: int) -> Entry | None:
        entry = self.get(key)
        if entry is None:
            return None
        del self._entries[key]
        question = _question(entry.scope, entry.text)
        if self._by_question.get(question) == key:
            del self._by_question[question]
        self._unlink(entry)
        self.bytes -= self.size(entry)
        self.counts[entry.tenant, entry.task] -= 1
        if not self.counts[entry.tenant, entry.task]:
            del self.counts[entry.tenant, entry.task]
        return entry

    def lowest(self, enough: int) -> Iterator[Entry]:
        """Those worth least, until they make up `enough` bytes; the caller takes them out."""
        freed = 0
        while freed < enough and (key := self._order.lowest()) is not None:
            entry = self.get(key)
            if entry is not None:
                freed += self.size(entry)
                yield entry

    def expired(self, among: Iterable[int], now: float) -> list[int]:
        """Those of them that have expired."""
        rows = ((key, self._entries.get(key)) for key in among)
        return [key for key, row in rows if row is not None and row[_EXPIRES_AT] <= now]

    def _worth(self, key: int) -> float | None:
        entry = self.get(key)
        return None if entry is None else worth(entry, self.size(entry), self._half_life_s)

    def _unlink(self, entry: Entry) -> None:
        ids = self._by_request[entry.request_id]
        others = () if isinstance(ids, int) else tuple(i for i in ids if i != entry.id)
        if not others:
            del self._by_request[entry.request_id]
        else:
            self._by_request[entry.request_id] = others if len(others) > 1 else others[0]


def _question(scope: str, text: str) -> int:
    """Collisions are possible, so whoever uses it compares the texts."""
    return int.from_bytes(
        blake2b((scope + text).encode("utf-8", "surrogatepass"), digest_size=7).digest()
    )
