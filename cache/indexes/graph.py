"""What a large scope's vectors are kept in."""

from typing import TYPE_CHECKING, Any, Protocol

from cache.index import Vector, Vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Found = tuple[NDArray[np.float32], NDArray[np.int64]]
    """Cosines, nearest first, and the rows that they belong to; fewer where there are no more."""
else:
    Found = Any


class Graph(Protocol):
    """Rows in the order of their arrival, never removed. Nothing is called while `add` runs, except
    `rows`, which only the adding thread calls.
    """

    def add(self, vectors: Vectors) -> None: ...

    def search(self, vector: Vector, most: int) -> Found: ...

    def rows(self, start: int, stop: int) -> Vectors:
        """A copy of these rows, as exact as they are kept."""
        ...

    @property
    def bytes(self) -> int: ...


class Maker(Protocol):
    """Makes graphs of one kind."""

    @property
    def kind(self) -> str: ...

    @property
    def grows(self) -> bool:
        """Whether a graph takes more rows; else it is made anew with what came meanwhile."""
        ...

    @property
    def starts_empty(self) -> bool:
        """Whether one can be made of no rows, and be rebuilt bit by bit."""
        ...

    @property
    def batch(self) -> int:
        """Rows that are added at once while searches wait."""
        ...

    def make(self, vectors: Vectors) -> Graph: ...
