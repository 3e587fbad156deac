"""The ledger records every attempt once, whatever happens."""

import asyncio
import time
from decimal import Decimal
from typing import Any

from structlog.testing import capture_logs

from serving.backend import Attempt, Call
from serving.costs.ledger import Ledger
from serving.storage.database import Database
from serving.wire.completion import Usage
from tests.serving.costs.fakes import CHEAP, DEAR, USAGE, call, ledger_on, opened, rows


async def test_a_judged_attempt_becomes_a_row(database: Database, ledger: Ledger) -> None:
    asked = call(key_id="k", feature="chat", task="faq", session="s", step="1")
    before = time.time()
    attempt = opened(ledger, asked)
    attempt.ttft_ms = 3.25
    attempt.judge("accepted", "gate: sure")
    await ledger.flush()
    (row,) = await rows(database)
    assert before - 1e-3 <= row["created_at"].timestamp() <= time.time()
    assert {k: v for k, v in row.items() if k != "created_at"} == {
        "id": attempt.id,
        "request_id": "req_1",
        "kind": "attempt",
        "tenant": "acme",
        "key_id": "k",
        "feature": "chat",
        "task": "faq",
        "session": "s",
        "step": "1",
        "tier": "small",
        "model": "m",
        "simulated": True,
        "service": "live",
        "prompt_tokens": 1_000,
        "completion_tokens": 200,
        "cached_tokens": 400,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "reasoning_tokens": 0,
        "usage_estimated": False,
        "cost": Decimal("0.00164"),
        "list_cost": Decimal("0.002"),
        "live_cost": Decimal("0.00164"),
        "above_cost": None,
        "baseline_cost": Decimal("0.008"),
        "latency_ms": 12.5,
        "ttft_ms": 3.25,
        "outcome": "accepted",
        "reason": "gate: sure",
        "error": None,
        "conversation": None,
    }
    assert asked.trace.attempts == [attempt]
    assert asked.trace.baseline_cost_usd == Decimal("0.008")


async def test_an_attempt_is_recorded_when_judged_and_settled(
    database: Database, ledger: Ledger
) -> None:
    """A driver may judge a stream, such as one it aborts, before its figures are complete."""
    attempt = opened(ledger, settled=False)
    attempt.usage = Usage()
    attempt.judge("escalated", "gate_prefix")
    await ledger.flush()
    assert await rows(database) == []
    attempt.usage = USAGE
    ledger.settle(attempt)
    await ledger.flush()
    (row,) = await rows(database)
    assert (row["outcome"], row["completion_tokens"]) == ("escalated", 200)


async def test_only_the_first_word_counts(database: Database, ledger: Ledger) -> None:
    attempt = opened(ledger)
    attempt.judge("accepted", "first")
    attempt.judge("failed", "second")
    ledger.settle(attempt)
    await ledger.flush()
    (row,) = await rows(database)
    assert (row["outcome"], row["reason"]) == ("accepted", "first")


async def test_what_has_a_baseline(ledger: Ledger) -> None:
    def baseline(outcome: Any, **given: Any) -> Decimal | None:
        attempt = opened(ledger, **given)
        attempt.usage = USAGE
        attempt.judge(outcome, "")
        return attempt.baseline_cost_usd

    plain_input = DEAR.cost(Usage(1_000, 200))
    assert baseline("accepted") == plain_input
    assert baseline("best_effort") == plain_input
    assert baseline("accepted", kind="cache_hit") == plain_input
    own = CHEAP.cost(Usage(1_000, 200))
    assert baseline("accepted", tier="large") == own, "the tier's own price, of plain input"
    for outcome in ("escalated", "failed", "cancelled"):
        assert baseline(outcome) is None
    assert baseline("compared", kind="spot_check") is None
    assert baseline("accepted", kind="spot_check", tier="large") is None


async def test_an_unknown_baseline_stays_unknown(database: Database) -> None:
    ledger = Ledger(database, baseline=None, flush_interval_s=60.0, max_buffered_rows=10)
    attempt = opened(ledger)
    attempt.judge("accepted", "")
    assert attempt.baseline_cost_usd is None
    await ledger.close()


async def test_a_cache_hit_costs_nothing(ledger: Ledger) -> None:
    assert opened(ledger, kind="cache_hit").cost_usd == 0


async def test_an_intent_is_committed_before_it_returns_and_settled_later(
    database: Database, ledger: Ledger
) -> None:
    asked = call()
    attempt = opened(ledger, asked, settled=False)
    attempt.usage, attempt.cost_usd = Usage(1_500, 4_096, estimated=True), Decimal("0.02")
    await ledger.intent(attempt, asked)
    (row,) = await rows(database)
    assert (row["outcome"], row["cost"]) == ("intent", Decimal("0.02"))
    assert row["usage_estimated"]
    attempt.usage, attempt.cost_usd = USAGE, CHEAP.cost(USAGE)
    ledger.settle(attempt)
    attempt.judge("accepted", "")
    await ledger.flush()
    (row,) = await rows(database)
    assert (row["outcome"], row["cost"]) == ("accepted", Decimal("0.00164"))
    assert not row["usage_estimated"]


async def test_concurrent_intents_share_transactions(database: Database, ledger: Ledger) -> None:
    async def intend(i: int) -> None:
        asked = call(f"req_{i}")
        await ledger.intent(opened(ledger, asked, settled=False), asked)

    await asyncio.gather(*(intend(i) for i in range(200)))
    assert len(await rows(database)) == 200


async def test_closing_writes_what_is_open_and_leaves_intents(database: Database) -> None:
    ledger = ledger_on(database)
    answered = opened(ledger)
    running = opened(ledger, settled=False)
    asked = call()
    out = opened(ledger, asked, settled=False)
    await ledger.intent(out, asked)
    judged = opened(ledger)
    judged.judge("accepted", "")
    await ledger.close()
    found = {row["id"]: row["outcome"] for row in await rows(database)}
    assert found == {
        answered.id: "open",
        running.id: "open",
        out.id: "intent",
        judged.id: "accepted",
    }


async def test_a_forgotten_attempt_is_written_as_open_and_can_still_be_judged(
    database: Database, ledger: Ledger
) -> None:
    attempt = opened(ledger, call(deadline=time.monotonic() - 61))
    recent = opened(ledger, call(deadline=time.monotonic() - 59))
    await ledger.flush()
    assert [(r["id"], r["outcome"]) for r in await rows(database)] == [(attempt.id, "open")]
    attempt.judge("failed", "late")
    await ledger.flush()
    assert [(r["id"], r["outcome"]) for r in await rows(database)] == [(attempt.id, "failed")]
    recent.judge("accepted", "")


async def test_observers_hear_of_each_attempt_once_and_cannot_break_it(
    database: Database,
) -> None:
    heard: list[tuple[str, str, str]] = []

    def fails(attempt: Attempt, asked: Call) -> None:
        raise ZeroDivisionError

    def hears(attempt: Attempt, asked: Call) -> None:
        heard.append((attempt.id, attempt.outcome, asked.request_id))

    ledger = ledger_on(database, observers=[fails, hears])
    attempt = opened(ledger, settled=False)
    with capture_logs() as logs:
        attempt.judge("accepted", "")
        assert heard == []
        ledger.settle(attempt)
        ledger.settle(attempt)
    assert heard == [(attempt.id, "accepted", "req_1")]
    assert [entry["event"] for entry in logs] == ["ledger_observer_failed"]
    await ledger.close()
    assert len(await rows(database)) == 1
