"""What the semantic cache keeps: a question, its vector, the answer, and where that came from."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cache.semantic.packed import unpack
from serving.errors import StepwellError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    """One row of `dimensions` numbers, of length 1."""
else:
    Vector = Any


CUT = "the question is longer than the embedder reads"


class UnfitEntry(StepwellError):
    """An entry or a vector that cannot be kept or looked for; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An answer on its way in. `scope`: 64 hexadecimal digits over all that decides who may be
    served by it, the tenant included. `document`: the version of what the answer rests on. `text`:
    the question that was asked last. `answer`: JSON of the Completion, opaque here. `cost_usd`:
    what making it cost, so what a hit saves; None where that is unknown. `request_id`: of the
    request whose attempt made it. `expires_at`: in Unix seconds. `asked_at`: when that request
    arrived, in Unix seconds; what was purged since then is not kept.
    """

    scope: str
    tenant: str
    task: str
    tags: tuple[str, ...]
    document: str | None
    text: str
    vector: Vector = field(repr=False, compare=False)
    answer: bytes = field(repr=False)
    tier: str
    model: str
    simulated: bool
    cost_usd: Decimal | None
    request_id: str
    expires_at: float
    asked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept answer. `packed` is its compressed form. Times are Unix seconds. `hits` counts the
    answers it gave; `right` and `wrong` what checks of them found.
    """

    id: int
    scope: str
    tenant: str
    task: str
    tags: tuple[str, ...]
    document: str | None
    text: str
    packed: bytes = field(repr=False)
    tier: str
    model: str
    simulated: bool
    cost_usd: Decimal | None
    request_id: str
    expires_at: float
    created_at: float
    hits: int = 0
    last_hit_at: float | None = None
    right: int = 0
    wrong: int = 0

    @property
    def answer(self) -> bytes:
        """The answer as it was given, decompressed anew each time (some 10 microseconds)."""
        return unpack(self.packed)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry of the asked scope and how near its question is: the cosine, in [-1, 1]."""

    entry: Entry
    cosine: float
