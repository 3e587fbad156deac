"""What the semantic cache keeps: a question, its vector, the answer, and where that came from."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cache.semantic.packed import unpack
from cache.semantic.question import Question
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
class _Made:
    """What made an answer, and until when it is good, in Unix seconds. `cost_usd`: what making it
    cost, so what a hit saves; None where that is unknown. `request_id`: of the request whose
    attempt made it.
    """

    tier: str
    model: str
    simulated: bool
    cost_usd: Decimal | None
    request_id: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class NewEntry(_Made):
    """An answer on its way in. `answer`: what `cache/semantic/answer.py` reads, opaque here.
    `asked_at`: when its request arrived, in Unix seconds; what was purged since is not kept.
    """

    question: Question
    vector: Vector = field(repr=False, compare=False)
    answer: bytes = field(repr=False)
    asked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Entry(_Made):
    """A kept answer, with the fields of its question: plain values throughout, as `Kept` holds
    them. `packed` is its compressed form. Times are Unix seconds. `hits` counts the answers it
    gave; `right` and `wrong` what checks of them found.
    """

    id: int
    scope: str
    tenant: str
    task: str
    tags: tuple[str, ...]
    document: str | None
    text: str
    packed: bytes = field(repr=False)
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
