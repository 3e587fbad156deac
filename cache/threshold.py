"""From which score on the cache may answer, so that wrong hits stay rare.

The user sets `delta`, the share of hits that may be wrong, and a confidence. Scores fall into bins.
Of each bin it is known how often lookups fall into it, and how often the stored answer was wrong
there: from the hits that are checked, and from every miss, whose fresh answer can be compared with
the stored one for nothing. Within a bin it does not matter which outcomes came to be known, since
whether one does depends on its bin alone. The shipped calibration counts as `PRIOR` outcomes.

Where all bins together are wrong more often or less often than the calibration says, it is moved as
a whole, so that what misses show holds for hits too.

A cut is allowed where the share of wrong hits from there on is at most `AIM` of `delta` with the
stated confidence: the mean of the bins' beta posteriors, weighted by how often each is hit, and as
many of its standard deviations as the confidence asks for. The rest of `delta` is kept back for
chance. The bin at the cut itself may be worse than `delta` only as far as its own outcomes show how
bad it is. A cut is tightened with each outcome, and loosened by one bin at a time, `PATIENCE`
outcomes apart.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

LOWEST, HIGHEST, WIDTH = 0.0, 8.0, 0.25
"""Scores are logits: from an even chance to one wrong answer in 3,000."""

BINS = int((HIGHEST - LOWEST) / WIDTH) + 1
PRIOR = 60.0
"""Outcomes that the shipped calibration counts as, in each bin."""

MEMORY = 2_000.0
"""A bin forgets half of its outcomes when it holds as many, so that it follows a change."""

AIM = 0.8
PATIENCE = 25
TELLING = 1.5
"""From this score on outcomes tell how far off the calibration is."""

DOUBT = 5.0
"""Wrong outcomes that are expected before the calibration is moved by much."""

MIDDLE = 0.5
"""Of a bin: where the calibration is asked what to expect there."""

LEAST, MOST = 0.5, 10.0
NOTHING = math.inf


@dataclass(frozen=True, slots=True)
class Cut:
    """The cache may answer from `score` on, infinity where from none. `expected` and `at_most`:
    the share of wrong hits then, at most with the stated confidence. `outcomes`: on how many
    outcomes this rests beside the calibration.
    """

    score: float
    expected: float
    at_most: float
    outcomes: int

    def allows(self, score: float) -> bool:
        return score >= self.score


@dataclass(slots=True)
class _Bin:
    lookups: float = 1.0
    right: float = 0.0
    wrong: float = 0.0

    @property
    def known(self) -> float:
        return self.right + self.wrong

    def posterior(self, expected: float) -> tuple[float, float]:
        """Mean and variance of the share that is wrong, from an expected one."""
        wrong = self.wrong + PRIOR * expected
        total = self.known + PRIOR
        mean = wrong / total
        return mean, mean * (1 - mean) / (total + 1)


@dataclass(slots=True)
class Threshold:
    """Of one task. Without I/O; each call takes some microseconds."""

    delta: float
    confidence: float = 0.95
    _bins: list[_Bin] = field(init=False)
    _at: int = field(init=False)
    _waited: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not (0 < self.delta < 1 and 0.5 <= self.confidence < 1):
            raise ValueError("delta lies between 0 and 1, confidence between 0.5 and 1")
        self._bins = [_Bin() for _ in range(BINS)]
        self._at = self._loosest()

    @property
    def cut(self) -> Cut:
        if self._at == BINS:
            return Cut(NOTHING, 0.0, 0.0, 0)
        expected, at_most = self._wrong_from(self._at)
        known = sum(each.known for each in self._bins[self._at :])
        return Cut(LOWEST + self._at * WIDTH, expected, at_most, round(known))

    def looked_up(self, score: float) -> None:
        """The best candidate of a lookup had this score, whatever came of it."""
        if (index := _index(score)) is not None:
            found = self._bins[index]
            found.lookups += 1
            if found.lookups > MEMORY:
                for each in self._bins:
                    each.lookups /= 2

    def observe(self, score: float, *, wrong: bool) -> None:
        """The stored answer was, or would have been, wrong or right."""
        index = _index(score)
        if index is None:
            return
        found = self._bins[index]
        if wrong:
            found.wrong += 1
        else:
            found.right += 1
        if found.known > MEMORY:
            found.right, found.wrong = found.right / 2, found.wrong / 2
        self._move()

    def saved(self) -> dict[str, Any]:
        """What `restore` takes, as JSON has it."""
        bins = [[each.lookups, each.right, each.wrong] for each in self._bins]
        return {"bins": bins, "at": self._at, "waited": self._waited}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Goes on from what was saved, under whatever `delta` and `confidence` hold now: a cut that
        they do not allow is tightened at once. `ValueError` where it is of another form.
        """
        bins = [_Bin(*map(float, each)) for each in saved["bins"]]
        if len(bins) != BINS or not all(each.known >= 0 for each in bins):
            raise ValueError("a saved threshold is of another form")
        self._bins, self._waited = bins, int(saved["waited"])
        self._at = min(BINS, max(int(saved["at"]), self._loosest()))

    def _move(self) -> None:
        allowed = self._loosest()
        self._waited += 1
        if allowed > self._at:
            self._at, self._waited = allowed, 0
        elif allowed < self._at and self._waited >= PATIENCE:
            self._at, self._waited = self._at - 1, 0

    def _loosest(self) -> int:
        """The lowest bin from which on it is allowed; `BINS` where from none."""
        width, off = NormalDist().inv_cdf(self.confidence), self._off()
        lookups = mean = variance = 0.0
        allowed = BINS
        for index in range(BINS - 1, -1, -1):
            each = self._bins[index]
            own, spread = each.posterior(_expected(index, off))
            if own > self.delta * (1 + 2 * each.known / (each.known + PRIOR)):
                break
            lookups += each.lookups
            mean += each.lookups * own
            variance += each.lookups**2 * spread
            if mean + width * math.sqrt(variance) <= AIM * self.delta * lookups:
                allowed = index
        return allowed

    def _off(self) -> float:
        """How many times as often as the calibration says an answer is wrong."""
        first = int((TELLING - LOWEST) / WIDTH)
        bins = list(enumerate(self._bins))[first:]
        wrong = sum(each.wrong for _, each in bins)
        expected = sum(each.known * _expected(index, 1.0) for index, each in bins)
        return min(MOST, max(LEAST, (wrong + DOUBT) / (expected + DOUBT)))

    def _wrong_from(self, at: int) -> tuple[float, float]:
        """The expected share of wrong hits from a bin on, and what it is at most."""
        bins, off = list(enumerate(self._bins))[at:], self._off()
        lookups = sum(each.lookups for _, each in bins)
        mean = variance = 0.0
        for index, each in bins:
            own, spread = each.posterior(_expected(index, off))
            mean += each.lookups / lookups * own
            variance += (each.lookups / lookups) ** 2 * spread
        return mean, mean + NormalDist().inv_cdf(self.confidence) * math.sqrt(variance)


@dataclass(frozen=True, slots=True)
class EntryEvidence:
    """How the answers of one entry did for others: the entry's own part of a score. One wrong
    answer outweighs several right ones, and no number of right ones counts for much: what served
    nine rephrasings may still be wrong for the tenth.
    """

    right: int = 0
    wrong: int = 0

    @property
    def shift(self) -> float:
        """To be added to a score, from -4 to 1."""
        return min(1.0, max(-4.0, math.log((4 + self.right) / (4 + 8 * self.wrong))))

    def after(self, *, wrong: bool) -> "EntryEvidence":
        return EntryEvidence(self.right + (not wrong), self.wrong + wrong)


def _index(score: float) -> int | None:
    """The bin of a score; None below the lowest, where nothing is ever served."""
    if not score >= LOWEST:
        return None
    return min(BINS - 1, int((score - LOWEST) / WIDTH))


def _expected(index: int, off: float) -> float:
    """The share of wrong answers in the middle of a bin, by the shipped calibration and how far off
    it is.
    """
    return min(0.99, off / (1 + math.exp(LOWEST + (index + MIDDLE) * WIDTH)))
