"""The index of one large scope: a graph, and behind it a tail of the newest, searched exactly.

Additions go to the tail and wait for nobody; the background moves them into the graph, one at a
time, so that a search waits for one of them at most. Removed rows stay in the graph as tombstones
until it is rebuilt beside the old one, which answers meanwhile and gives way to it at the end.
"""

import threading
import time
from collections.abc import Collection
from typing import Any

from cache.index import Match, Vector
from cache.indexes import flat
from cache.indexes.flat import Flat, Held, Keys
from cache.indexes.graph import Maker
from cache.indexes.rows import CHUNK, Rows

TAIL = 128
"""Rows of the tail from which on they move into the graph."""

TURN = 2_048
"""Rows that one turn of the background moves or rebuilds at most."""

REMADE_TAIL = 4_096
REMADE_SHARE = 0.1
"""A graph that cannot grow is made anew when its tail has so many rows, and this share of it."""

DEAD_LEAST = 256
DEAD_SHARE = 0.2
"""Tombstones from which on a graph is rebuilt: so many, and this share of it."""


REST_S = 60.0
"""After a failure, such as a full GPU, it is not tried again for so long."""


class Promoted:
    """`advance` belongs to the builder's thread; the rest is as in `cache.index.Index`."""

    def __init__(self, maker: Maker, tail: Flat) -> None:
        self._maker = maker
        self._tail = tail
        # A graph must not grow while it is searched.
        self._graphs = Turns()
        self._edits = threading.Lock()  # of the tail, and of which rows are dead
        self._main = Rows(maker.make(tail.held[1][:0])) if maker.starts_empty else None
        self._made = 0
        self._coming: Rows | None = None
        self._copied = 0
        self._closed = False
        self._rests_until = float("-inf")

    @property
    def kind(self) -> str:
        return self._maker.kind if self._main is not None and self._main.count else "flat"

    def __len__(self) -> int:
        with self._edits:
            return len(self._tail) + (0 if self._main is None else self._main.live)

    @property
    def bytes(self) -> int:
        parts = (self._main, self._coming)
        return self._tail.bytes + sum(rows.bytes for rows in parts if rows is not None)

    @property
    def due(self) -> bool:
        """Whether the background has something to do."""
        if self._closed or time.monotonic() < self._rests_until:
            return False
        return self._coming is not None or self._full() or self._stale() or self._outgrown()

    def add(self, key: int, vector: Vector) -> None:
        with self._edits:
            self._tail.add(key, vector)

    def remove(self, keys: Collection[int]) -> None:
        with self._edits:
            self._tail.remove(keys)
            for rows in (self._main, self._coming):
                if rows is not None:
                    rows.bury(keys)

    def search(self, vector: Vector, most: int) -> list[Match]:
        # The tail first: a row that moves meanwhile is found twice, but never missed.
        tail = self._tail.held
        with self._graphs:
            found = [] if self._main is None else self._main.search(vector, most)
        return _together(found, flat.search(tail, vector, most))[:most]

    def close(self) -> None:
        """Nothing is due any more."""
        self._closed = True

    def failed(self) -> None:
        """Nothing is due for a while."""
        self._coming = None
        self._rests_until = time.monotonic() + REST_S

    def advance(self) -> None:
        """Some of what is due."""
        if not self.due:
            return
        if self._main is None or not self._maker.grows or self._outgrown():
            self._remake()
            return
        if self._full():
            self._move()
        if self._coming is not None or self._stale():
            if self._maker.starts_empty:
                self._rebuild()
            else:
                self._remake()

    def _full(self) -> bool:
        rows = len(self._tail)
        if self._main is None:
            return rows > 0
        if self._maker.grows:
            return rows >= TAIL
        return rows >= max(REMADE_TAIL, self._main.count * REMADE_SHARE)

    def _outgrown(self) -> bool:
        """Whether it has grown so far that what it was trained on says little of it."""
        main = self._main
        return main is not None and not self._maker.starts_empty and main.count > 4 * self._made

    def _stale(self) -> bool:
        main = self._main
        return main is not None and main.dead > max(DEAD_LEAST, main.count * DEAD_SHARE)

    def _move(self) -> None:
        """Moves the oldest rows of the tail into the graph."""
        main = self._main
        assert main is not None
        batch = self._maker.batch
        for _ in range(max(1, min(len(self._tail), TURN) // batch)):
            with self._edits:
                keys, vectors, used = self._tail.held
            rows = min(used, batch)
            if not rows or self._closed:
                return
            with self._graphs:
                main.added(vectors[:rows])
            with self._edits:
                main.named(keys[:rows])
                # Those that are still there are the oldest, so they come first.
                gone = _lost(keys[:rows], _keys(self._tail.held)[:rows])
                if gone:  # removed while they moved
                    main.bury(gone)
                self._tail.drop_first(rows - len(gone))

    def _rebuild(self) -> None:
        """Copies some live rows into the coming graph, and swaps it in after the last."""
        main = self._main
        assert main is not None
        if self._coming is None:
            self._coming, self._copied = Rows(self._maker.make(main.vectors(0, 0))), 0
        coming = self._coming
        for start in range(self._copied, min(main.count, self._copied + TURN), CHUNK):
            stop = min(start + CHUNK, main.count)
            with self._edits:
                alive = main.alive(start, stop)
            keys, vectors = main.keys(start, stop)[alive], main.vectors(start, stop)[alive]
            coming.added(vectors)
            with self._edits:
                coming.named(keys)
                # What was removed meanwhile was not found in it yet.
                coming.bury(keys[~main.alive(start, stop)[alive]].tolist())
            self._copied = stop
        if self._copied >= main.count:
            with self._graphs, self._edits:
                self._main, self._coming = coming, None

    def _remake(self) -> None:
        """Makes a graph of all live rows at once, the tail's included."""
        main = self._main
        with self._edits:
            tail = _keys(self._tail.held)
            newest = self._tail.held[1][: len(tail)]
            old = None if main is None else main.alive(0, main.count)
        keys, vectors = [tail], [newest]
        if main is not None and old is not None:
            keys.append(main.keys(0, main.count)[old])
            vectors.append(main.vectors(0, main.count)[old])
        made = _made(self._maker, keys, vectors)
        with self._graphs, self._edits:
            if main is not None:
                made.bury(main.keys(0, main.count)[~main.alive(0, main.count)].tolist())
            made.bury(_lost(tail, _keys(self._tail.held)))
            self._main, self._made = made, made.count
            self._tail.remove(tail.tolist())


class Turns:
    """A lock whose waiters get it in their turn: one that gives it back and wants it again at once
    would otherwise get it again and again.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._gate:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _made(maker: Maker, keys: list[Any], vectors: list[Any]) -> Rows:
    import numpy as np  # noqa: PLC0415 - in an extra

    rows = Rows(maker.make(np.concatenate(vectors)))
    rows.named(np.concatenate(keys))
    return rows


def _keys(held: Held) -> Keys:
    return held[0][: held[2]]


def _lost(before: Keys, after: Keys) -> list[int]:
    """Keys that are in the first, but no longer in the second."""
    still = set(after.tolist())
    return [key for key in before.tolist() if key not in still]


def _together(first: list[Match], second: list[Match]) -> list[Match]:
    """Nearest first, each key once."""
    if not second:
        return first
    nearest = {match.key: match for match in second}
    nearest.update((match.key, match) for match in first)
    return sorted(nearest.values(), key=lambda match: -match.cosine)
