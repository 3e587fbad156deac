"""What the ledger can prove about money: spend, baseline, savings, and what could be recovered.

Terms, all in USD:

- *spend*: the marginal cost of all attempts, checks and embeddings included. Hosted calls that
  are not settled are left out and stated beside it with the most that they can cost.
- *baseline*: what the baseline tier would have cost for the answers that clients got: the same
  tokens, its prices, no cache and no escalation. An embedding's is what it cost. Requests without
  an answer have no baseline, so savings are understated where clients went away.
- *savings*: baseline less spend. Unknown, not zero, where a row in the group has no known price.
- *parts*: what each lever had of baseline less spend, as `attribution` derives them.
- *recoverable*: spend on attempts and embeddings whose answer no client got: escalated, failed or
  cancelled. It is what a perfect choice of start tiers, gates and deadlines would have saved, an
  upper bound. Checks (money spent to know the quality) and best-effort answers are not in it.
  What a cheaper tier would have answered is not provable from the ledger and so not counted.
- *capacity*: what the GPUs of a tier cost in the window whether busy or not, kept apart from spend.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from serving.costs import report_sql as sql
from serving.costs.attribution import Parts
from serving.costs.attribution_sql import PREFIX, parts_of
from serving.costs.rate_card import capacity_cost
from serving.costs.report_sql import GroupBy, Scope
from serving.settings.tiers import GpuPrice, TierSettings
from serving.storage.database import Database
from serving.storage.semantic import SemanticEvidence, Tally
from serving.storage.types import EPOCH, MICROSECOND

SECONDS_PER_HOUR = 3_600
MAX_REASONS = 20


@dataclass(frozen=True, slots=True)
class Line:
    """Sums over one group of rows, each an attempt, a cache hit, a check or an embedding.
    `semantic_hits` are some of the cache hits, and `cache_checks` checks of those. Outcome counts
    are of attempts and embeddings; tokens of what was generated (cache hits replay theirs).
    `unpriced` and `unpriced_baseline` count rows whose money is unknown and missing from the sums.
    `parts` add up to baseline less spend, whether or not all of it is known.
    """

    name: str | None
    requests: int
    rows: int
    attempts: int
    cache_hits: int
    semantic_hits: int
    spot_checks: int
    cache_checks: int
    embeddings: int
    accepted: int
    best_effort: int
    escalated: int
    failed: int
    cancelled: int
    open: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    replayed_tokens: int
    spend_usd: Decimal
    unpriced: int
    baseline_usd: Decimal
    unpriced_baseline: int
    recoverable_usd: Decimal
    checking_usd: Decimal
    simulated: int
    estimated: int
    parts: Parts = field(default_factory=Parts)

    @property
    def savings_usd(self) -> Decimal | None:
        """Baseline less spend; None where a price is unknown."""
        known = not self.unpriced and not self.unpriced_baseline
        return self.baseline_usd - self.spend_usd if known else None

    @property
    def simulated_share(self) -> float:
        """Of the rows, how many came from a mock; their figures are simulated."""
        return self.simulated / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The lines of one grouping; `groups` counts all, of which `lines` may be the dearest."""

    by: GroupBy
    lines: tuple[Line, ...]
    groups: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Attempts of one tier that gave no answer to a client, for one reason."""

    tier: str
    outcome: str
    reason: str
    attempts: int
    cost_usd: Decimal
    unpriced: int


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Hosted calls that left and whose end is not known: still under way, or their process died.
    Up to `at_most_usd` may have been billed, and more where `unpriced` is not zero.
    """

    calls: int
    at_most_usd: Decimal
    unpriced: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a GPU tier cost its owner in the window, as if it ran throughout, for all tenants.
    `utilisation` is the marginal cost of its work over that; None for a window of no length.
    """

    tier: str
    gpus: int
    hours: Decimal
    capacity_usd: Decimal
    marginal_usd: Decimal
    simulated: bool

    @property
    def utilisation(self) -> float | None:
        return float(self.marginal_usd / self.capacity_usd) if self.capacity_usd else None


@dataclass(frozen=True, slots=True)
class Report:
    """`since` is None where no bound was asked for and no row is there. `checked_hits`: semantic
    hits that were compared with a fresh answer, by task.
    """

    since: datetime | None
    until: datetime
    tenant: str | None
    total: Line
    breakdowns: tuple[Breakdown, ...]
    lost: tuple[Lost, ...]
    unsettled: Unsettled
    capacity: tuple[Capacity, ...]
    checked_hits: Mapping[str, Tally] = field(default_factory=dict)


async def compute(
    database: Database,
    tiers: Sequence[TierSettings],
    *,
    by: Sequence[GroupBy] = sql.GROUPINGS,
    since: datetime | None = None,
    until: datetime | None = None,
    tenant: str | None = None,
    limit: int = 50,
) -> Report:
    """The report on [since, until); until defaults to now, since to the first row. Of each
    grouping the `limit` dearest groups (or latest days) are listed; totals count all.
    """
    until = until or datetime.now(UTC)
    scope = Scope(since, until, tenant)
    evidence = SemanticEvidence(database)
    checked = await evidence.tallies(since=since or EPOCH, until=until, tenant=tenant)
    async with database.read() as connection:
        breakdowns = [await _breakdown(connection, scope, group, limit) for group in by]
        start = since or (await connection.execute(sql.first_row(scope))).scalar_one()
        return Report(
            since=start,
            until=until,
            tenant=tenant,
            total=_line((await connection.execute(sql.totals(scope))).mappings().one(), None),
            breakdowns=tuple(breakdowns),
            lost=await _lost(connection, scope),
            unsettled=await _unsettled(connection, scope),
            capacity=await _capacity(connection, tiers, start, until),
            checked_hits=checked,
        )


async def _breakdown(
    connection: AsyncConnection, scope: Scope, by: GroupBy, limit: int
) -> Breakdown:
    rows = (await connection.execute(sql.grouped(scope, by, limit))).mappings().all()
    if by == "day":
        rows = rows[::-1]  # the latest ones were asked for, and a table reads forward in time
    lines = tuple(_line(row, _name(row["name"], by)) for row in rows)
    return Breakdown(by, lines, int(rows[0]["groups"]) if rows else 0)


def _name(value: Any, by: GroupBy) -> str | None:
    if by != "day":
        return None if value is None else str(value)
    return (EPOCH + int(value) * 86_400_000_000 * MICROSECOND).date().isoformat()


def _line(row: Mapping[Any, Any], name: str | None) -> Line:
    money = {"cost": "spend_usd", "baseline": "baseline_usd"}
    money |= {"recoverable": "recoverable_usd", "checking": "checking_usd"}
    values: dict[str, Any] = {}
    for column, value in row.items():
        if column in money:
            values[money[column]] = value if value is not None else Decimal(0)
        elif column not in {"name", "groups"} and not column.startswith(PREFIX):
            values[column] = int(value or 0)
    return Line(name=name, parts=parts_of(row), **values)


async def _lost(connection: AsyncConnection, scope: Scope) -> tuple[Lost, ...]:
    rows = (await connection.execute(sql.lost(scope, MAX_REASONS))).all()
    return tuple(
        Lost(r.tier, r.outcome, r.reason, r.attempts, r.cost or Decimal(0), r.unpriced)
        for r in rows
    )


async def _unsettled(connection: AsyncConnection, scope: Scope) -> Unsettled:
    row = (await connection.execute(sql.unsettled(scope))).one()
    return Unsettled(row.calls, row.at_most or Decimal(0), row.unpriced, row.oldest)


async def _capacity(
    connection: AsyncConnection,
    tiers: Sequence[TierSettings],
    since: datetime | None,
    until: datetime,
) -> tuple[Capacity, ...]:
    rented = [(t, t.price) for t in tiers if isinstance(t.price, GpuPrice)]
    if not rented or since is None or since >= until:
        return ()
    hours = Decimal((until - since) // MICROSECOND) / 1_000_000 / SECONDS_PER_HOUR
    rows = (await connection.execute(sql.marginal_by_tier(Scope(since, until)))).all()
    marginal = {row.tier: row.cost or Decimal(0) for row in rows}
    return tuple(
        Capacity(
            tier=tier.name,
            gpus=price.gpus,
            hours=hours,
            capacity_usd=capacity_cost(price, hours),
            marginal_usd=marginal.get(tier.name, Decimal(0)),
            simulated=tier.simulated,
        )
        for tier, price in rented
    )
