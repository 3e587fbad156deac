"""The report says what the ledger can prove, and no more."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from serving.costs.report import Breakdown, Line, Report, compute
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.storage.upsert import upsert
from tests.serving.costs.fakes import tier
from tests.serving.storage.rows import attempt

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def store(database: Database, *rows: dict[str, Any]) -> None:
    async with database.begin() as connection:
        await upsert(connection, attempts, rows)


def row(key: str, **values: Any) -> dict[str, Any]:
    given = {"request_id": f"req_{key}", "created_at": NOON, "cost": Decimal(1), **values}
    return attempt(key, **given)


def values(of: object, *names: str) -> list[Any]:
    return [getattr(of, name) for name in names]


def lines(report: Report, by: str) -> dict[str | None, Line]:
    found: Breakdown = next(b for b in report.breakdowns if b.by == by)
    return {line.name: line for line in found.lines}


async def test_an_empty_ledger(database: Database) -> None:
    report = await compute(database, [tier(price=GPU)], until=NOW)
    assert report.total.rows == 0
    assert values(report.total, "spend_usd", "savings_usd") == [0, 0]
    assert report.since is None
    assert report.capacity == ()
    assert all(b.lines == () and b.groups == 0 for b in report.breakdowns)
    assert report.unsettled.calls == 0


async def test_one_request_that_climbed(database: Database) -> None:
    """7B rejected at the gate, Opus accepted: both are spend, one is recoverable."""
    shared: dict[str, Any] = {"request_id": "req", "feature": "chat", "session": "s"}
    await store(
        database,
        row("a", **shared, outcome="escalated", reason="gate", cost=Decimal("0.10")),
        row(
            "b",
            **shared,
            tier="opus",
            cost=Decimal(2),
            baseline_cost=Decimal(2),
            completion_tokens=70,
        ),
    )
    report = await compute(database, [], until=NOW)
    total = report.total
    assert values(total, "requests", "attempts", "accepted", "escalated") == [1, 2, 1, 1]
    assert values(total, "spend_usd", "baseline_usd") == [Decimal("2.10"), 2]
    assert total.savings_usd == Decimal("-0.10"), "a climb costs more than the baseline"
    assert total.recoverable_usd == Decimal("0.10")
    assert total.output_tokens == 70
    by_tier = lines(report, "tier")
    assert by_tier["small"].recoverable_usd == Decimal("0.10")
    assert by_tier["opus"].recoverable_usd == 0
    (lost,) = report.lost
    assert values(lost, "tier", "outcome", "reason") == ["small", "escalated", "gate"]
    assert values(lost, "attempts", "cost_usd") == [1, Decimal("0.10")]


async def test_what_counts_as_what(database: Database) -> None:
    tokens = {"prompt_tokens": 100, "completion_tokens": 10, "cached_tokens": 40}
    await store(
        database,
        row("accepted", baseline_cost=Decimal(9), **tokens),
        row("best", outcome="best_effort", baseline_cost=Decimal(9), **tokens),
        row("failed", outcome="failed", usage_estimated=True, **tokens),
        row("cancelled", outcome="cancelled", **tokens),
        row("open", outcome="open", **tokens),
        row("hit", kind="cache_hit", cost=Decimal(0), baseline_cost=Decimal(9), **tokens),
        row("check", kind="spot_check", outcome="compared", simulated=True, **tokens),
        row("failed_check", kind="spot_check", outcome="failed", **tokens),
    )
    total = (await compute(database, [], until=NOW)).total
    assert values(total, "rows", "attempts", "cache_hits", "spot_checks") == [8, 5, 1, 2]
    assert values(total, "accepted", "best_effort", "failed", "cancelled") == [1, 1, 1, 1]
    assert total.open == 1
    assert values(total, "prompt_tokens", "output_tokens", "cached_tokens") == [700, 70, 280]
    assert total.replayed_tokens == 10, "a hit generates nothing"
    assert values(total, "spend_usd", "baseline_usd") == [7, 27]
    assert total.savings_usd == 20
    assert total.recoverable_usd == 2, "spot checks and best effort are no waste"
    assert total.checking_usd == 2
    assert values(total, "simulated", "estimated") == [1, 1]
    assert total.simulated_share == 1 / 8


async def test_an_unknown_price_is_never_zero(database: Database) -> None:
    await store(
        database,
        row("a", baseline_cost=Decimal(3)),
        row("b", tier="odd", cost=None, baseline_cost=Decimal(3)),
        row("c", tier="new", baseline_cost=None),
        row("d", tier="odd", cost=None, outcome="failed"),
    )
    report = await compute(database, [], until=NOW)
    assert values(report.total, "spend_usd", "unpriced") == [2, 2]
    assert report.total.unpriced_baseline == 1
    assert report.total.savings_usd is None
    by_tier = lines(report, "tier")
    assert by_tier["small"].savings_usd == 2
    assert by_tier["odd"].savings_usd is None
    assert by_tier["new"].savings_usd is None
    (lost,) = report.lost
    assert values(lost, "cost_usd", "unpriced") == [0, 1]


async def test_hosted_calls_that_are_not_settled_stand_apart(database: Database) -> None:
    await store(
        database,
        row("a"),
        row("b", outcome="intent", cost=Decimal(5)),
        row("c", outcome="intent", cost=None, created_at=NOON - timedelta(hours=1)),
    )
    report = await compute(database, [], until=NOW)
    assert values(report.total, "rows", "spend_usd", "unpriced") == [1, 1, 0]
    assert values(report.unsettled, "calls", "at_most_usd") == [2, 5]
    assert report.unsettled.unpriced == 1
    assert report.unsettled.oldest == NOON - timedelta(hours=1)


async def test_days_are_utc_and_in_order(database: Database) -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    moments = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(hours=23)]
    await store(database, *(row(str(i), created_at=m) for i, m in enumerate(moments)))
    report = await compute(database, [], by=["day"], until=NOW)
    assert {n: line.rows for n, line in lines(report, "day").items()} == {
        "2026-11-20": 1,
        "2026-11-21": 2,
    }
    assert [line.name for line in report.breakdowns[0].lines] == ["2026-11-20", "2026-11-21"]
    last = (await compute(database, [], by=["day"], until=NOW, limit=1)).breakdowns[0]
    assert [line.name for line in last.lines] == ["2026-11-21"]
    assert last.groups == 2


async def test_the_window_and_the_tenant_narrow_it(database: Database) -> None:
    hour = timedelta(hours=1)
    await store(
        database,
        row("before", created_at=NOON - hour),
        row("first", created_at=NOON),
        row("last", created_at=NOON + hour, tenant="other"),
        row("after", created_at=NOON + 2 * hour),
        row("intent", created_at=NOON - hour, outcome="intent"),
    )
    window: dict[str, Any] = {"since": NOON, "until": NOON + 2 * hour}
    assert (await compute(database, [], **window)).total.rows == 2
    assert (await compute(database, [], **window, tenant="other")).total.rows == 1
    assert (await compute(database, [], **window)).unsettled.calls == 0
    whole = await compute(database, [], until=NOW)
    assert (whole.total.rows, whole.since) == (4, NOON - hour)


async def test_the_dearest_groups_come_first_and_totals_count_all(database: Database) -> None:
    await store(
        database,
        *(row(str(i), session=f"s{i}", cost=Decimal(i)) for i in range(10)),
        row("none", session=None, cost=Decimal("3.5")),
        row("unknown", session="u", cost=None),
    )
    report = await compute(database, [], by=["session"], until=NOW, limit=7)
    found = report.breakdowns[0]
    assert [line.name for line in found.lines] == ["s9", "s8", "s7", "s6", "s5", "s4", None]
    assert found.groups == 12
    assert report.total.rows == 12


GPU = {
    "kind": "gpu",
    "gpu_hour": "2.50",
    "gpus": 2,
    "prefill_tokens_per_s": 1,
    "decode_tokens_per_s": 1,
}


async def test_capacity_is_kept_apart_from_spend(database: Database) -> None:
    await store(
        database,
        row("a", cost=Decimal("0.75")),
        row("b", kind="spot_check", cost=Decimal("0.25"), tenant="other"),
        row("c", tier="opus"),
    )
    tiers = [tier(price=GPU), tier("idle", price=GPU), tier("opus")]
    window: dict[str, Any] = {"since": NOON, "until": NOON + timedelta(hours=4)}
    report = await compute(database, tiers, **window, tenant="t")
    small, idle = report.capacity
    assert values(small, "tier", "hours", "capacity_usd") == ["small", 4, 20]
    assert small.marginal_usd == 1, "capacity serves all tenants"
    assert small.utilisation == pytest.approx(0.05)
    assert values(idle, "capacity_usd", "utilisation") == [20, 0.0]
    assert report.total.spend_usd == Decimal("1.75")


def random_rows(rng: random.Random, count: int) -> list[dict[str, Any]]:
    def maybe(value: Callable[[], Any]) -> Any:
        return value() if rng.random() < 0.8 else None

    def money() -> Decimal:
        return Decimal(rng.randrange(10**12)) / 10**12

    return [
        row(
            str(i),
            request_id=f"req_{rng.randrange(count // 2)}",
            kind=rng.choice(["attempt", "attempt", "cache_hit", "spot_check"]),
            outcome=rng.choice(["accepted", "escalated", "failed", "cancelled", "best_effort"]),
            tier=rng.choice(["a", "b", "c"]),
            feature=maybe(lambda: rng.choice("xyz")),
            session=maybe(lambda: f"s{rng.randrange(9)}"),
            created_at=NOON + timedelta(minutes=rng.randrange(2_000)),
            cost=maybe(money),
            baseline_cost=maybe(money),
            completion_tokens=rng.randrange(5_000),
        )
        for i in range(count)
    ]


async def test_every_grouping_adds_up_to_the_total(database: Database) -> None:
    made = random_rows(random.Random(3), 400)
    await store(database, *made)
    report = await compute(database, [], until=NOW)
    total = report.total
    assert total.spend_usd == sum(r["cost"] or 0 for r in made)
    assert total.requests == len({r["request_id"] for r in made})
    for breakdown in report.breakdowns:
        assert len(breakdown.lines) == breakdown.groups
        for name in ("rows", "spend_usd", "baseline_usd", "recoverable_usd", "output_tokens"):
            assert sum(getattr(line, name) for line in breakdown.lines) == getattr(total, name)
    spend: Counter[str] = Counter()
    for r in made:
        spend[r["tier"]] += r["cost"] or 0
    assert {n: line.spend_usd for n, line in lines(report, "tier").items()} == spend
