"""How soon things come back, learned from those that came back and from those that did not yet.

Gaps fall into bins that widen with their length. Within a bin the rate of return is taken as
constant (the piecewise exponential model of survival analysis): so many returns in so much time at
risk. Whatever has not come back yet counts with the time that it has been waiting, no more and no
less; this is what makes the estimate right from the first minute, when nothing can have returned
after ten.

Estimates are shrunk towards a parent: the curve of a wider group. A group's few returns first say
by what factor it differs from its parent (Gamma prior, `FACTOR_EVENTS`), and only as they grow
more, in which bins (`BIN_EVENTS`). The outermost parent is a guess: 20% in each bin, two
chances in three to return within five minutes. It makes a planner store what it knows nothing
about, as one would by hand, and is given up after some dozens of requests.
"""

import math
from collections import deque
from dataclasses import dataclass

from cache.prompt.economics import GapOdds

EDGES = (5.0, 15.0, 40.0, 100.0, 300.0, 750.0, 1_800.0, 3_600.0)
"""Ends of the bins in seconds; evenly spaced in log time but for the two lifetimes."""
BINS = len(EDGES)
STARTS = (0.0, *EDGES[:-1])
WIDTHS = tuple(end - start for start, end in zip(STARTS, EDGES, strict=True))
WITHIN_5M = EDGES.index(300.0) + 1

GUESS = 0.2
GUESSED = tuple(-math.log(1.0 - GUESS) / width for width in WIDTHS)
FACTOR_EVENTS = 4.0
BIN_EVENTS = 6.0
# A bin that nothing can have reached yet follows the others only so far.
FACTOR_BOUNDS = (0.7, 3.0)
MEMORY = 2_000.0
"""Returns in one bin after which older ones count half: habits change."""


class Curve:
    """Returns and time at risk of one group, by bin. Times are seconds since a fixed start."""

    __slots__ = ("_at", "_rates", "_risk", "_since", "_waiting", "parent", "returns")

    def __init__(self, parent: "Curve | None" = None) -> None:
        self.parent = parent
        self.returns = [0.0] * BINS
        self._risk = [0.0] * BINS  # of what has left the bin
        self._waiting = [0.0] * BINS  # weight in the bin now, and its weighted times of entry
        self._since = [0.0] * BINS
        self._at = -1.0
        self._rates: tuple[float, ...] = GUESSED

    def enter(self, bin_: int, weight: float, at: float) -> None:
        self._waiting[bin_] += weight
        self._since[bin_] += weight * at

    def leave(self, bin_: int, weight: float, entered: float, now: float, returned: bool) -> None:
        self._waiting[bin_] -= weight
        self._since[bin_] -= weight * entered
        self._risk[bin_] += weight * (now - entered)
        if returned:
            self.returns[bin_] += weight
            if self.returns[bin_] > MEMORY:
                self.returns = [value / 2 for value in self.returns]
                self._risk = [value / 2 for value in self._risk]

    def rates(self, now: float) -> tuple[float, ...]:
        """Returns per second in each bin, expected of what is waiting there."""
        if self._at == now:
            return self._rates
        prior = self.parent.rates(now) if self.parent is not None else GUESSED
        returns, since, waiting = self.returns, self._since, self._waiting
        risk, expected = [], 0.0
        for i, done in enumerate(self._risk):  # written out: this is most of a plan's time
            still = waiting[i] * now - since[i]
            at_risk = done + still if still > 0.0 else done
            risk.append(at_risk)
            expected += at_risk * prior[i]
        factor = (FACTOR_EVENTS + sum(returns)) / (FACTOR_EVENTS + expected)
        factor = min(max(factor, FACTOR_BOUNDS[0]), FACTOR_BOUNDS[1])
        self._at = now
        self._rates = tuple(
            [
                (BIN_EVENTS + returns[i]) / (BIN_EVENTS / (factor * p) + risk[i])
                for i, p in enumerate(prior)
            ]
        )
        return self._rates

    def odds(self, now: float) -> GapOdds:
        """Of something that was used just now."""
        hazard = [rate * width for rate, width in zip(self.rates(now), WIDTHS, strict=True)]
        missed = math.exp(-sum(hazard[:WITHIN_5M]))
        return GapOdds(1.0 - missed, missed * (1.0 - math.exp(-sum(hazard[WITHIN_5M:]))))


@dataclass(slots=True, eq=False)
class Cohort:
    """Things used at the same time that are alike: `weight` of them (1 at first) has not returned.
    `curves` is the group that it belongs to, with all wider ones.
    """

    curves: tuple[Curve, ...]
    start: float
    weight: float = 1.0
    bin: int = 0

    @property
    def entered(self) -> float:
        """When it came into its present bin."""
        return self.start + STARTS[self.bin]


class Cohorts:
    """All cohorts that are waiting, moved from bin to bin as time passes. Where there are more than
    `most`, the oldest are no longer watched, which takes nothing from what is known of the rest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bins: tuple[deque[Cohort], ...] = tuple(deque() for _ in EDGES)
        self._count = 0
        self._now = 0.0

    def advance(self, now: float) -> None:
        """Time has passed; it never goes back."""
        self._now = max(now, self._now)
        for bin_, queue in enumerate(self._bins):
            while queue and queue[0].start + EDGES[bin_] <= self._now:
                self._pass_on(queue.popleft())

    def add(self, curves: tuple[Curve, ...]) -> Cohort:
        """Things used just now."""
        cohort = Cohort(curves, self._now)
        self._count += 1
        self._enter(cohort)
        if self._count > self._most:
            oldest = next(queue for queue in reversed(self._bins) if queue).popleft()
            self._leave(oldest, oldest.weight, self._now, returned=False)
            self._gone(oldest)
        return cohort

    def returned(self, cohort: Cohort, weight: float) -> None:
        """So much of the cohort was used again just now."""
        weight = min(weight, cohort.weight)
        if cohort.bin < BINS:
            self._leave(cohort, weight, self._now, returned=True)
        cohort.weight -= weight

    def _pass_on(self, cohort: Cohort) -> None:
        if cohort.weight <= 0.0:
            self._gone(cohort)
            return
        end = cohort.start + EDGES[cohort.bin]
        self._leave(cohort, cohort.weight, end, returned=False)
        cohort.bin += 1
        if cohort.bin == BINS:
            self._gone(cohort)
        else:
            self._enter(cohort)

    def _gone(self, cohort: Cohort) -> None:
        cohort.bin = BINS
        self._count -= 1

    def _enter(self, cohort: Cohort) -> None:
        bin_, weight, entered = cohort.bin, cohort.weight, cohort.entered
        for curve in cohort.curves:
            curve.enter(bin_, weight, entered)
        self._bins[cohort.bin].append(cohort)

    def _leave(self, cohort: Cohort, weight: float, at: float, *, returned: bool) -> None:
        bin_, entered = cohort.bin, cohort.entered
        for curve in cohort.curves:
            curve.leave(bin_, weight, entered, at, returned)
