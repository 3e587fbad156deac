"""What gateways ask of the memory that they share: the protocol, and what goes in and out.

All values are plain and pickle, so that the memory may be in this process or behind a handle.
Vectors travel as bytes: float32, little endian.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from cache.semantic.question import Asked, Question


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored answer that serves. `exact`: to the very same text. `score` is the decision's logit,
    the entry's own evidence included; `explained` names no word of either text. `answer` is what
    `cache/semantic/answer.py` reads; `age_s` how old it is, `saved_usd` what making it cost.
    """

    entry_id: int
    answer: bytes
    exact: bool
    score: float
    probability: float
    cosine: float
    explained: str
    age_s: float
    saved_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Grey:
    """A stored answer that would serve if its question, `text`, turned out to be the same."""

    hit: Hit
    text: str


@dataclass(frozen=True, slots=True)
class Follow:
    """An identical request is on its way; its answer comes by `Memory.follow`."""

    flight: str


@dataclass(frozen=True, slots=True)
class Miss:
    """`reason`, for the trace. `vector` of the question, empty where none was made. `flight`: who
    asks the same may wait for this answer, so it must be landed. `grey`: what may be verified.
    """

    reason: str
    vector: bytes = b""
    embedder: str = ""
    flight: str | None = None
    grey: Grey | None = None


Found = Hit | Follow | Miss


@dataclass(frozen=True, slots=True)
class Offered:
    """A fresh answer, as `cache/semantic/answer.py` reads it, to be kept for `ttl_s`. `learn`:
    compare it with the stored answer that comes nearest, which shows for nothing whether that one
    would have served. `asked_at`: when its request came, in Unix seconds; what has been purged
    since is not kept.
    """

    question: Question
    vector: bytes
    answer: bytes
    cost_usd: Decimal | None
    request_id: str
    ttl_s: float
    asked_at: float
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """A hit that was answered anew: what was `served` from the entry, and the `fresh` answer, None
    where there is none to compare with. `request_id`: of the request that was served. `verified`:
    it was given because a tier had said that the questions were the same.
    """

    question: Question
    entry_id: int
    score: float
    served: bytes
    fresh: bytes | None
    request_id: str
    verified: bool = False


class Memory(Protocol):
    """Whatever it raises is a miss to the gateway, and no request's failure."""

    async def look_up(self, asked: Asked) -> Found:
        """A `Miss` with a flight is a promise to call `land`."""
        ...

    async def follow(self, flight: str) -> bytes | None:
        """The answer of that flight once it has landed, None where it gave none that may be shared.
        Cancel it to wait no longer.
        """
        ...

    async def tend(self, flight: str) -> int:
        """Says that the flight's maker lives, every second; tells how many follow it."""
        ...

    async def land(self, flight: str, answer: bytes | None) -> None:
        """The end of a flight, with what its followers get."""
        ...

    async def used(self, task: str, entry_id: int, score: float) -> None:
        """The grey candidate of a miss was verified and given."""
        ...

    async def offer(self, offered: Offered) -> None:
        """Returns once the answer is kept, or was found not to fit."""
        ...

    async def verdict(self, verdict: Verdict) -> bool | None:
        """Compares, learns from it and forgets what is wrong. True where the stored answer was
        right, None where the two cannot be compared.
        """
        ...

    async def evict(self, request_id: str) -> bool:
        """Forgets the answers that this request made."""
        ...
