"""What the stored questions around a new one tell together. Pure.

The score of the best candidate is about two texts. Where others that come near have answers that
say the same, it is more likely right; where they say something else, the question lies between two
answers, and it is more likely wrong. Who agrees is known from answers that were compared: each
fresh answer with those of the candidates that its question had.

A logistic model of the best score and of what the candidates with known answers say, each counted
by its own score; fitted by `tests/bench/cache/around.py` on `clinc150_train`. No agreement makes
more than `MOST` of a difference, so that texts that differ in what counts stay apart.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

SLOPE, INTERCEPT = 0.362, -3.065
SHARE, LEAD = 5.441, 0.310
MOST = 3.0
FEWEST = 2
"""Candidates with known answers, the best among them, before they count at all."""

FAR = 4.0
"""A lead beyond it says no more."""


@dataclass(frozen=True, slots=True)
class Near:
    """A candidate's score, and its `answers`: equal where two answers say the same, None where
    this one was never compared with others.
    """

    score: float
    answers: Hashable = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """`index` of the candidate whose answer is best given, and its `score` with `moved`, the part
    that the others made of it.
    """

    index: int
    score: float
    moved: float


def choose(candidates: Sequence[Near]) -> Chosen | None:
    """The best of the group that says the most; None of none. The score that of the best alone
    where too little is known of the others.
    """
    if not candidates:
        return None
    known = [n for n, each in enumerate(candidates) if each.answers is not None]
    best = max(range(len(candidates)), key=lambda n: candidates[n].score)
    alone = candidates[best].score
    if best not in known or len(known) < FEWEST:
        return Chosen(best, alone, 0.0)
    share, lead = around(candidates, best, known)
    score = INTERCEPT + SLOPE * alone + SHARE * share + LEAD * lead
    moved = max(-MOST, min(MOST, score - alone))
    return Chosen(best, alone + moved, moved)


def around(candidates: Sequence[Near], best: int, known: Sequence[int]) -> tuple[float, float]:
    """Of what is known, the share that says what the best says, each weighed by its odds against
    the best; and how far the best's score is above the best that says something else.
    """
    own, top = candidates[best].answers, candidates[best].score
    weights = {n: math.exp(candidates[n].score - top) for n in known}
    agreeing = sum(weight for n, weight in weights.items() if candidates[n].answers == own)
    others = [candidates[n].score for n in known if candidates[n].answers != own]
    lead = min(FAR, top - max(others)) if others else FAR
    return agreeing / sum(weights.values()), lead
