"""Which lever saved what: the parts of baseline less actual cost, without double counting.

Each settled row of the ledger holds five amounts of USD, noted when it was made:

    B  baseline: what the baseline tier would have cost for the answer; 0 where no client got one
    A  above: list price of the tier above, where a `flex` request waited for a turn longer than a
       live one may, which would have climbed instead, and got its answer; else A = P
    P  list: what these tokens cost at this tier live, all input at the plain rate
    L  live: the same with the provider's cache, its reads and its writes at their rates
    C  cost: what was billed, at the rates of the attempt's service

A cache hit has P = L = C = 0. The row's saving telescopes, whatever the amounts are:

    B - C  =  (B - A)  +  (A - P)  +  (P - L)  +  (L - C)

The levers are taken in this order, each on top of those before it:

1. *cache*: B - A of a hit. It saves the whole baseline, since what routing would have saved on it
   was not needed any more. Exact hits and semantic ones apart.
2. *routing*: B - A of an answer, and -P of one that was escalated: the tiers that were asked
   instead of the baseline tier, at list price, less what was tried in vain below.
3. *prompt caching*: P - L of every row. Negative for a prefix that was written and never read.
4. *batch*: L - C of rows of that service.
5. *flex*: A - P, and L - C of rows of that service.

Beside the levers stands what they cost, so that the sum is exact: *checks*, -P of spot checks and
checks of cache hits and B - P of embeddings (none for a client's own, which would have cost the
same, all of it for the cache's), and *unanswered*, -P of what failed, was cancelled or never
judged. What prompt caching or a batch saved on those rows counts there, as on any other row.

*unattributed* is B - C of rows that lack an amount: an unknown price, or a row from before the
amounts were noted. A missing B or C counts as 0 in it, as in the report's own sums; so the parts of
any set of rows add up to its baseline less its spend as the report shows them, to the picodollar.
"""

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Self

from serving.backend import Attempt

ZERO = Decimal(0)
LEVERS = ("exact_cache", "semantic_cache", "routing", "prompt_caching", "batch", "flex")
"""In the order in which they are taken."""
OVERHEADS = ("checks", "unanswered")
"""What the levers cost, never positive."""

CHECKS = frozenset({"spot_check", "cache_check"})
RETURNED = frozenset({"accepted", "best_effort"})
JUDGED = RETURNED | {"escalated"}
SEMANTIC_HIT = "semantic_cache_hit"


@dataclass(frozen=True, slots=True)
class Parts:
    """USD saved by each lever, negative where it cost more than it saved."""

    exact_cache: Decimal = ZERO
    semantic_cache: Decimal = ZERO
    routing: Decimal = ZERO
    prompt_caching: Decimal = ZERO
    batch: Decimal = ZERO
    flex: Decimal = ZERO
    checks: Decimal = ZERO
    unanswered: Decimal = ZERO
    unattributed: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Baseline less actual cost."""
        return sum((getattr(self, f.name) for f in fields(self)), ZERO)

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Row:
    """What of a settled row counts; see the module. None is an amount that is not known."""

    kind: str
    outcome: str
    reason: str
    service: str
    baseline: Decimal | None
    list_cost: Decimal | None
    live_cost: Decimal | None
    cost: Decimal | None
    above_cost: Decimal | None = None

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        return cls(
            kind=attempt.kind,
            outcome=attempt.outcome,
            reason=attempt.reason,
            service=attempt.service,
            baseline=attempt.baseline_cost_usd,
            list_cost=attempt.list_cost_usd,
            live_cost=attempt.live_cost_usd,
            cost=attempt.cost_usd,
            above_cost=attempt.above_cost_usd,
        )


def attribute(row: Row) -> Parts:
    """The parts of one row's saving; they add up to its baseline less its cost."""
    p, live, cost = row.list_cost, row.live_cost, row.cost
    owed = row.kind not in CHECKS and row.outcome in RETURNED
    baseline = row.baseline if owed and row.baseline is not None else ZERO
    if p is None or live is None or cost is None or (owed and row.baseline is None):
        return Parts(unattributed=baseline - (ZERO if cost is None else cost))
    waited = row.service == "flex" and owed
    above = row.above_cost if waited and row.above_cost is not None else p
    served = {"batch": ZERO, "flex": above - p, "unattributed": ZERO}
    served[row.service if row.service in served else "unattributed"] += live - cost
    return Parts(**{_first(row): baseline - above}, prompt_caching=p - live, **served)


def _first(row: Row) -> str:
    """Where the first step goes: who answered, or why nobody did."""
    if row.kind in CHECKS:
        return "checks"
    if row.outcome not in JUDGED:
        return "unanswered"
    if row.kind == "cache_hit":
        return "semantic_cache" if row.reason == SEMANTIC_HIT else "exact_cache"
    return "checks" if row.kind == "embedding" else "routing"
