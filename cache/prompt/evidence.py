"""What has been seen to change in one place of a feature's prompts, and when it is enough to call
it volatile. Pure values and counters: no text leaves here.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from cachetools import LRUCache

from cache.prompt.volatile import Looks, Masked, Span, first_difference, looks_random, rises

Kind = Literal[
    "timestamp",
    "date",
    "uuid",
    "counter",
    "random_id",
    "unsorted_json",
    "reordered_text",
    "reordered_tools",
]

NEEDED: dict[Kind, int] = {
    # Times that only rise are read off a clock. Ids may be a user's own, and come back.
    "timestamp": 4,
    "date": 4,
    "counter": 5,
    "uuid": 6,
    "random_id": 8,
    "unsorted_json": 2,
    "reordered_text": 2,
    "reordered_tools": 2,
}
"""Changes to a value never met before (of order: any changes) that make a kind certain."""

NEEDED_OF_DATA = 12
"""Of numbers and times that do not only rise, and of plain words: they may be somebody's data."""

MOST_SPANS = 4
"""Where more changes at once it is data: a document, a record, a list of results."""

NEW = 0.8
"""The share of changes to values never met before; what comes back belongs to somebody."""

OFTEN = 0.5
"""The share of requests in which an id changes; one that stays longer belongs to a session."""

VALUES = 64
HORIZON = 256
"""Counts are halved when so many requests have been seen, so that what has stopped is forgotten."""


@dataclass(frozen=True, slots=True)
class Volatile:
    """Bytes of one text that are known to change: `start` to `end`, changed in `changes` of the
    `seen` requests.
    """

    kind: Kind
    start: int
    end: int
    changes: int
    seen: int


@dataclass(slots=True)
class SpanHistory:
    """One place that may change."""

    last: bytes
    changes: int = 0
    new: int = 0
    rises: int = 0
    looks: Counter[Looks] = field(default_factory=Counter)
    values: LRUCache[bytes, None] = field(default_factory=lambda: LRUCache(VALUES))

    def see(self, span: Span) -> None:
        self.looks[span.looks] += 1
        if span.value == self.last:
            return
        self.values[self.last] = None
        self.changes += 1
        self.new += span.value not in self.values
        self.rises += rises(self.last, span.value, span.looks)
        self.last = span.value

    def halve(self) -> None:
        self.changes, self.new, self.rises = self.changes // 2, self.new // 2, self.rises // 2

    def kind(self, seen: int) -> Kind | None:
        """What it is, None while that is not certain. `seen`: in how many requests."""
        if not self.changes or self.new < NEW * self.changes:
            return None
        looks = self.looks.most_common(1)[0][0]
        kind, needed, stays = self._judged(looks)
        if self.new < needed or (not stays and self.changes < OFTEN * seen):
            return None
        if looks == "word" and not looks_random(list(self.values)):
            return None
        return kind

    def _judged(self, looks: Looks) -> tuple[Kind, int, bool]:
        """The kind, the new values that make it certain, and whether it counts also where it
        changes rarely, as a date does.
        """
        rising = self.rises >= NEW * self.changes
        if looks == "timestamp":
            return "timestamp", NEEDED["timestamp"] if rising else NEEDED_OF_DATA, rising
        if looks == "date":
            return "date", NEEDED["date"] if rising else NEEDED_OF_DATA, rising
        if looks == "uuid":
            return "uuid", NEEDED["uuid"], False
        if looks == "id":
            return "random_id", NEEDED["random_id"], False
        if looks == "number" and rising:
            return "counter", NEEDED["counter"], False
        return "random_id", NEEDED_OF_DATA, False


class Template:
    """A text that differs from request to request only where it has holes, or in the order of its
    parts. `last` is the latest one.
    """

    def __init__(self, masked: Masked) -> None:
        self.last = masked
        self.seen = 1
        self.reorders = 0
        self._spans: dict[int, SpanHistory] = {}

    def again(self) -> None:
        """The latest text once more."""
        self._count()

    def see(self, masked: Masked) -> None:
        """A text of the same bag of characters."""
        self._count()
        old, self.last = self.last, masked
        if is_reordered(old, masked):
            self.reorders += 1
            self._spans.clear()
            return
        pairs = enumerate(zip(old.spans, masked.spans, strict=True))
        changed = [(i, a, b) for i, (a, b) in pairs if a.value != b.value]
        for i, before, after in changed if len(changed) <= MOST_SPANS else ():
            history = self._spans.get(i)
            if history is None:
                history = self._spans[i] = SpanHistory(before.value)
            history.last = before.value
            history.see(after)

    def volatile(self) -> list[Volatile]:
        """What of the latest text is known to change."""
        found: list[Volatile] = []
        for i, history in sorted(self._spans.items()):
            kind, span = history.kind(self.seen), self.last.spans[i]
            if kind is not None:
                found.append(Volatile(kind, span.start, span.end, history.changes, self.seen))
        return found

    def reordered(self, old: Masked) -> Volatile | None:
        """That the latest text has the parts of `old` in another order, where that is usual."""
        if self.reorders < NEEDED["unsorted_json"] or not is_reordered(old, self.last):
            return None
        start = first_difference(old.data, self.last.data)
        kind: Kind = "unsorted_json" if is_json_around(self.last.data, start) else "reordered_text"
        return Volatile(kind, start, len(self.last.data), self.reorders, self.seen)

    def _count(self) -> None:
        self.seen += 1
        if self.seen >= HORIZON:
            self.seen //= 2
            self.reorders //= 2
            for history in self._spans.values():
                history.halve()


def is_reordered(old: Masked, new: Masked) -> bool:
    """Of two texts of the same characters, whether their parts stand in another order."""
    if old.rest != new.rest:
        return True
    before, after = ([span.value for span in text.spans] for text in (old, new))
    return before != after and sorted(before) == sorted(after)


def is_json_around(data: bytes, offset: int) -> bool:
    """Whether the nearest bracket opened before `offset` is an object's, with a key behind it."""
    opened, closed = data.rfind(b"{", 0, offset + 1), data.find(b"}", offset)
    inside = data[opened:closed] if 0 <= opened < closed else b""
    return b'"' in inside and b":" in inside
