"""What a stored prefix is worth: the arithmetic of lifetimes, in one pure function.

All prices count from what a token costs that is sent plain, so 1.25 is a quarter dearer.

**A prefix in a steady state.** A prefix is used again and again; the gap to its next use is at most
five minutes with probability `a`, longer but within an hour with `b`, and else longer or there is
no next use. A hit costs the read price `r` and starts the entry's time anew, free of charge. So an
entry of five minutes lives from hit to hit and dies at the first longer gap: a renewal process,
whose expected number of hits is a + a² + … = a / (1 - a). Let `m` be what a use of the prefix costs
that finds nothing stored, less what the entry that it leaves behind will save later:

    plain:      m = 1
    5 minutes:  m = w5 - a/(1-a) · (m - r)    hence    m = (1-a) · w5 + a · r
    1 hour:     m = wh - c/(1-c) · (m - r)    hence    m = (1-c) · wh + c · r    with c = a + b

The cheapest of the three is the rule for a steady prefix, and each `m` is also its long-run mean
cost per use. Break-even against plain is at a = (w5-1)/(w5-r) and c = (wh-1)/(wh-r): with writes at
1.25 and 2 and reads at 0.1, at 22% for five minutes and 53% for an hour.

**The next write.** A prefix seen for the first time is not in its steady state: most are never
seen again, and those that are come back often. So the entry that a request would leave behind is
valued with the odds of *its* next gap (`odds`), and what follows that gap with the odds of prefixes
that were used once more (`later`, which give `m` above):

    worth of 5 minutes = a · ((m - r) + a'/(1-a') · (m - r)) = a · (m - r) / (1-a')

and so for the hour, with c. The first hit saves `m - r`, and leaves an entry behind like any hit.

**The blocks between two breakpoints** are found stored only by a request that shares them to the
end, so all tokens of a segment are worth what the prefix at the segment's *end* is worth, and cost
the write price less 1 where they are not stored yet:

    gain of a segment = tokens · worth(end) - tokens not read · (write price - 1)

**An entry in the shadow of a deeper one.** Prompts that go on where the last one went on read the
deeper entry, which renews that one alone: the shallower one, the end of a system prompt for
instance, dies of old age although its tokens are read all the time, and is missed by the next
prompt that leaves the common path there, a fork. If a share `f` of the uses are forks, a fork comes
before a gap that is too long, as long as each use keeps the entry alive by a breakpoint of its own,
with a f + a (1-f) a f + … = a f / (1 - a (1-f)). A fork at the very next use counts in the segments
already, so what a breakpoint there is worth on top is

    standby of 5 minutes = (a f / (1 - a (1-f)) - a f) · (m - r)

and so for the hour. An entry that stands already gets that share of it by which it has aged.

`placement.py` chooses the breakpoints that gain most together.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from serving.costs.price import Rates

CERTAIN = 0.98
"""No probability of a next use counts for more: it would make an entry live for ever."""


@dataclass(frozen=True, slots=True)
class CachePrices:
    """USD per prompt token, by what becomes of it."""

    input: Decimal
    read: Decimal
    write_5m: Decimal
    write_1h: Decimal

    @classmethod
    def of(cls, rates: Rates) -> Self:
        return cls(rates.input, rates.cache_read, rates.cache_write, rates.cache_write_1h)

    @property
    def relative(self) -> "RelativePrices":
        """The same as multiples of the input price; all are 1 where input is free."""
        if self.input <= 0:
            return RelativePrices(1.0, 1.0, 1.0)
        parts = (self.read, self.write_5m, self.write_1h)
        return RelativePrices(*(float(part / self.input) for part in parts))


@dataclass(frozen=True, slots=True)
class RelativePrices:
    """Multiples of the input price."""

    read: float
    write_5m: float
    write_1h: float


@dataclass(frozen=True, slots=True)
class GapOdds:
    """Of the gap to a prefix's next use: the probability that it is at most five minutes, and that
    it is longer but at most an hour. What is missing to 1 is a longer gap, or none.
    """

    within_5m: float
    within_1h: float


@dataclass(frozen=True, slots=True)
class SteadyCosts:
    """Expected cost of a token per use under each rule, in multiples of the input price."""

    plain: float
    five_minutes: float
    hour: float


@dataclass(frozen=True, slots=True)
class Worth:
    """What an entry that a request leaves behind will save, per token, as a multiple of the input
    price; to be compared with what writing it costs beyond sending it plain.
    """

    five_minutes: float
    hour: float


NOTHING = Worth(0.0, 0.0)


def steady_costs(odds: GapOdds, prices: RelativePrices) -> SteadyCosts:
    """What a steadily used prefix costs per use; the derivation stands at the module."""
    a, c = _bounded(odds)
    return SteadyCosts(
        plain=1.0,
        five_minutes=(1 - a) * prices.write_5m + a * prices.read,
        hour=(1 - c) * prices.write_1h + c * prices.read,
    )


def worth(odds: GapOdds, later: GapOdds, prices: RelativePrices, *, hours: bool = True) -> Worth:
    """What an entry is worth whose next gap has `odds`, where the gaps after that have `later`; the
    derivation stands at the module. With `hours` False nothing is ever stored for an hour again.
    """
    saved = _saved(later, prices, hours=hours)
    (a, c), (later_a, later_c) = _bounded(odds), _bounded(later)
    return Worth(a * saved / (1 - later_a), c * saved / (1 - later_c))


def standby(
    odds: GapOdds, later: GapOdds, forks: float, prices: RelativePrices, *, hours: bool = True
) -> Worth:
    """What an entry is worth behind which another one stands: beyond what the next use makes of it,
    which is `worth`. `forks`: share of the uses that leave the common path here.
    """
    saved = _saved(later, prices, hours=hours)
    a, c = _bounded(odds)
    values = (p * forks / (1 - p * (1 - forks)) - p * forks for p in (a, c))
    return Worth(*(max(0.0, value) * saved for value in values))


def _saved(later: GapOdds, prices: RelativePrices, *, hours: bool) -> float:
    """What a use costs less that finds the prefix stored, all that follows included."""
    costs = steady_costs(later, prices)
    cold = min(costs.plain, costs.five_minutes)
    if hours:
        cold = min(cold, costs.hour)
    return max(0.0, cold - prices.read)


def _bounded(odds: GapOdds) -> tuple[float, float]:
    a = min(max(odds.within_5m, 0.0), CERTAIN)
    return a, min(max(a + odds.within_1h, a), CERTAIN)
