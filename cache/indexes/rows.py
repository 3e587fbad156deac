"""A graph's rows with their keys, and which of them are dead."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from cache.index import Match, Vector
from cache.indexes.flat import best
from cache.indexes.graph import Graph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Keys = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Vectors = NDArray[np.float32]
else:
    Keys = Flags = Vectors = Any

CHUNK = 512
"""Rows that are read out at once where all are compared."""

MARGIN = 11
WIDER = 4
WIDEST = 1_024
"""Where tombstones are in the way, more rows are asked for: so many first, then so many times as
many, and where that does not help, all rows are compared."""


class Rows:
    """`search` may run beside `named` and `bury`, not beside `added`; what changes rows is called
    by one thread at a time. `Promoted` sees to that.
    """

    def __init__(self, graph: Graph) -> None:
        import numpy as np  # noqa: PLC0415 - in an extra

        self._graph = graph
        self._keys: Keys = np.empty(0, np.int64)
        self._dead: Flags = np.empty(0, np.bool_)
        self.count = 0
        self.dead = 0

    @property
    def live(self) -> int:
        return self.count - self.dead

    @property
    def bytes(self) -> int:
        return self._graph.bytes + self._keys.nbytes + self._dead.nbytes

    def added(self, vectors: Vectors) -> None:
        """Rows that nobody finds until they are `named`."""
        self._graph.add(vectors)

    def named(self, keys: Keys) -> None:
        """The keys of the rows that were added last."""
        import numpy as np  # noqa: PLC0415 - in an extra

        end = self.count + len(keys)
        if end > len(self._keys):
            room = end + end // 4 + 64
            self._keys = np.resize(self._keys[: self.count], room)
            self._dead = np.resize(self._dead[: self.count], room)
        self._keys[self.count : end] = keys
        self._dead[self.count : end] = False
        self.count = end

    def bury(self, keys: Collection[int]) -> None:
        """Makes tombstones of those that are here."""
        import numpy as np  # noqa: PLC0415 - in an extra

        gone = np.isin(self._keys[: self.count], np.fromiter(keys, np.int64, len(keys)))
        self._dead[: self.count] |= gone
        self.dead = int(self._dead[: self.count].sum())

    def alive(self, start: int, stop: int) -> Flags:
        """Which of these rows are no tombstones."""
        flags: Flags = ~self._dead[start : min(stop, self.count)]
        return flags

    def keys(self, start: int, stop: int) -> Keys:
        return self._keys[start : min(stop, self.count)].copy()

    def vectors(self, start: int, stop: int) -> Vectors:
        return self._graph.rows(start, min(stop, self.count))

    def search(self, vector: Vector, most: int) -> list[Match]:
        """As `Index.search`, of the live rows."""
        if not self.live:
            return []
        count, keys, dead = self.count, self._keys, self._dead
        wanted = min(most, self.live)
        first = ask = most + MARGIN if self.dead else most
        while ask < WIDEST or ask >= count:
            cosines, rows = self._graph.search(vector, min(ask, count))
            known = rows < count  # one may be there without its key
            cosines, rows = cosines[known], rows[known]
            alive = (~dead[rows]).nonzero()[0]
            # The last that a graph finds are its least certain.
            if len(alive) >= wanted and (ask in (first, count) or alive[wanted - 1] < ask // 2):
                return best(keys[rows[alive]], cosines[alive], most)
            if ask >= count:
                break  # the graph does not reach all of its rows
            ask *= WIDER
        return self._compare(vector, most)

    def _compare(self, vector: Vector, most: int) -> list[Match]:
        found: list[Match] = []
        for start in range(0, self.count, CHUNK):
            stop = min(start + CHUNK, self.count)
            alive = self.alive(start, stop).nonzero()[0]
            cosines = self._graph.rows(start, stop)[alive] @ vector
            found += best(self._keys[start:stop][alive], cosines, most)
            found = sorted(found, key=lambda match: -match.cosine)[:most]
        return found
