"""What an embedder is, to those who ask it and to those who make one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    """n x dimensions, each row of length 1."""
else:
    Vectors = Any


@dataclass(frozen=True, slots=True)
class Encoded:
    """`vectors`: one row for each text. `tokens`: what the model read of each, special tokens
    included, after truncation to its own maximum. `cut`: the rows whose texts are longer than that:
    texts that differ only beyond it have the same vector, which then says little. Empty where the
    embedder cannot tell.
    """

    vectors: Vectors
    tokens: tuple[int, ...]
    cut: frozenset[int] = frozenset()


class Model(Protocol):
    """A model in this process. `encode` blocks; several threads may call it."""

    @property
    def name(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Encoded: ...


class TextEmbedder(Protocol):
    """Makes vectors of texts, without blocking the loop. Vectors of two embedders compare only
    where their `name` is the same.
    """

    @property
    def name(self) -> str: ...

    async def encode(self, texts: Sequence[str]) -> Encoded: ...

    async def embed(self, texts: Sequence[str]) -> Vectors: ...
