"""Vectors by scope, and which of a scope are nearest: one protocol, and the choice of its kind.

Entries of different scopes never meet: each scope has an index of its own, so a search cannot
find, and its time does not depend on, what others have stored.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from serving.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    Vectors = NDArray[np.float32]
else:
    Vector = Vectors = Any

Kind = Literal["flat", "hnsw", "gpu-flat", "gpu-ivf", "gpu-cagra"]
PROMOTE_AT = 1_024


@dataclass(frozen=True, slots=True)
class Match:
    """`key` of a vector that was added, and its cosine with the one that was asked for."""

    key: int
    cosine: float


class Index(Protocol):
    """`search` and what else only reads may be called from any thread at any time. `add` and
    `remove` are called by one thread at a time; a search that begins after they return knows of
    them. Vectors are float32, of length 1, and checked by the caller.
    """

    def add(self, scope: str, key: int, vector: Vector) -> None:
        """`key`: any number in 63 bits that was never added before."""

    def remove(self, scope: str, keys: Collection[int]) -> None:
        """Keys that are not there are passed over."""

    def search(self, scope: str, vector: Vector, most: int) -> list[Match]:
        """The nearest of the scope, at most `most`, nearest first."""
        ...

    def size(self, scope: str) -> int: ...

    @property
    def bytes(self) -> int:
        """What all of it takes in memory."""
        ...

    def kinds(self) -> Mapping[str, int]:
        """How many scopes are kept in which way."""
        ...

    def settle(self) -> None:
        """Blocks until the background has nothing to do."""

    def close(self) -> None:
        """Ends background work. Searches still answer."""


def make_index(
    kind: Kind | Literal["auto"], dimensions: int, *, promote_at: int = PROMOTE_AT
) -> Index:
    """An empty index. `auto` and `hnsw` keep scopes exact up to `promote_at` vectors, then build
    an HNSW graph; `flat` keeps all exact. The GPU's kinds take the graph's place. `ConfigError`
    where a package is missing, or faiss sees no GPU.
    """
    from cache.indexes.scoped import ScopedIndex  # noqa: PLC0415 - numpy is in an extra

    if dimensions <= 0:
        raise ConfigError(f"an index needs vectors of at least one dimension, not {dimensions}")
    if kind == "flat":
        return ScopedIndex(dimensions, None, promote_at=promote_at)
    if kind in ("auto", "hnsw"):
        from cache.indexes.hnsw import Hnsw  # noqa: PLC0415 - faiss is in an extra

        return ScopedIndex(dimensions, Hnsw(dimensions), promote_at=promote_at)
    from cache.indexes.gpu import Gpu  # noqa: PLC0415 - faiss-gpu is in an extra

    return ScopedIndex(dimensions, Gpu(kind, dimensions), promote_at=promote_at)
