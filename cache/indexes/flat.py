"""The exact index of one scope: a matrix, and one product per search.

A reader takes the matrix as it stands. Additions go behind what readers see of it, removals make a
new one, so that nobody waits for anybody.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from cache.index import Match, Vector, Vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Keys = NDArray[np.int64]
    Cosines = NDArray[np.float32]
else:
    Keys = Cosines = Any

SPARE = 8
"""A matrix that is full grows by one in so many rows: little memory beside little copying."""

OVERHEAD = 360
"""Bytes of a scope beside its rows: objects, array headers, its place in the table of scopes."""


Held = tuple[Keys, Vectors, int]
"""Keys, vectors, and how many of their first rows are used; those never change. A plain tuple,
which Python's garbage collector need not look through: there may be very many.
"""


def search(held: Held, vector: Vector, most: int) -> list[Match]:
    """As `Index.search`."""
    keys, vectors, used = held
    return best(keys[:used], vectors[:used] @ vector, most) if used else []


def size_in_bytes(held: Held) -> int:
    """Memory of a scope that is kept so."""
    keys, vectors = (a if a.base is None else a.base for a in held[:2])
    return OVERHEAD + keys.nbytes + vectors.nbytes


def empty(dimensions: int) -> Held:
    import numpy as np  # noqa: PLC0415 - in an extra

    return np.empty(0, np.int64), np.empty((0, dimensions), np.float32), 0


class Flat:
    """One scope's rows, in the order of their arrival; `held` is all that it is."""

    __slots__ = ("held",)

    def __init__(self, held: Held) -> None:
        self.held = held

    def __len__(self) -> int:
        return self.held[2]

    @property
    def bytes(self) -> int:
        return size_in_bytes(self.held)

    def add(self, key: int, vector: Vector) -> None:
        keys, vectors, count = self.held
        if count == len(keys):
            keys, vectors = _grown(keys, vectors, count)
        keys[count] = key
        vectors[count] = vector
        self.held = (keys, vectors, count + 1)

    def remove(self, gone: Collection[int]) -> int:
        """How many there were."""
        import numpy as np  # noqa: PLC0415 - in an extra

        keys, vectors, count = self.held
        leave = ~np.isin(keys[:count], np.fromiter(gone, np.int64, len(gone)))
        left = int(leave.sum())
        if left < count:
            self.held = (keys[:count][leave], vectors[:count][leave], left)
        return count - left

    def drop_first(self, rows: int) -> None:
        """Forgets the oldest rows. Their memory is free once the rest has been copied, which
        happens as soon as it is the smaller part.
        """
        keys, vectors, count = self.held
        keys, vectors, count = keys[rows:], vectors[rows:], count - rows
        base = vectors.base
        if base is None or count * 2 < len(base):
            keys, vectors = keys[:count].copy(), vectors[:count].copy()
        self.held = (keys, vectors, count)


def best(keys: Keys, cosines: Cosines, most: int) -> list[Match]:
    """The `most` nearest, nearest first."""
    count = len(keys)
    if count == 1:
        return [Match(int(keys[0]), float(cosines[0]))]
    if count > most:
        chosen = cosines.argpartition(count - most)[count - most :]
        keys, cosines = keys[chosen], cosines[chosen]
    order = (-cosines).argsort(kind="stable")
    return [Match(int(k), float(c)) for k, c in zip(keys[order], cosines[order], strict=True)]


def _grown(keys: Keys, vectors: Vectors, count: int) -> tuple[Keys, Vectors]:
    import numpy as np  # noqa: PLC0415 - in an extra

    room = count + 1 + count // SPARE
    new_keys = np.empty(room, np.int64)
    new_vectors = np.empty((room, vectors.shape[1]), np.float32)
    new_keys[:count] = keys[:count]
    new_vectors[:count] = vectors[:count]
    return new_keys, new_vectors
