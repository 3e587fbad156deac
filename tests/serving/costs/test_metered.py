"""Metering: what a call used, what it cost, how it ended."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from serving.backend import Call
from serving.costs.estimate import estimate_tokens
from serving.costs.ledger import Ledger
from serving.errors import (
    InvalidRequest,
    Overloaded,
    StepwellError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.storage.database import Database
from serving.wire.completion import Completion, Usage
from tests.serving.costs.fakes import (
    CHEAP,
    REQUEST,
    USAGE,
    Answers,
    call,
    completion,
    metered,
    only,
    rows,
)
from tests.serving.storage.rows import break_down, repair


async def test_an_answer_is_priced_and_left_open(database: Database, ledger: Ledger) -> None:
    asked = call()
    answer = completion()
    assert await metered(Answers(answer), ledger).complete(REQUEST, asked) is answer
    attempt = only(asked)
    assert (attempt.tier, attempt.model, attempt.simulated) == ("small", "small-model", True)
    assert (attempt.usage, attempt.cost_usd) == (USAGE, CHEAP.cost(USAGE))
    assert attempt.latency_ms is not None
    assert attempt.ttft_ms is None
    assert attempt.outcome == "open"
    await ledger.flush()
    assert await rows(database) == []
    attempt.judge("accepted", "")
    await ledger.flush()
    (row,) = await rows(database)
    assert row["cost"] == CHEAP.cost(USAGE)


async def test_an_unknown_price_stays_unknown(ledger: Ledger) -> None:
    asked = call()
    await metered(Answers(), ledger, price=None).complete(REQUEST, asked)
    assert only(asked).cost_usd is None
    assert asked.trace.cost_usd is None


async def test_a_spot_check_is_one_in_the_ledger(ledger: Ledger) -> None:
    asked = call(kind="spot_check")
    await metered(Answers(), ledger).complete(REQUEST, asked)
    assert only(asked).kind == "spot_check"


async def test_an_answer_without_usage_is_estimated(ledger: Ledger) -> None:
    asked = call()
    answer = await metered(Answers(completion(Usage())), ledger).complete(REQUEST, asked)
    attempt = only(asked)
    assert attempt.usage.estimated
    assert attempt.usage.prompt_tokens > 0
    assert attempt.usage.completion_tokens >= estimate_tokens("On its way.")
    assert attempt.cost_usd
    assert answer.usage == attempt.usage, "the client is told what the ledger says"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TierRejected("no"), "tier_rejected"),
        (TierMisconfigured("no"), "tier_misconfigured"),
        (TierRateLimited("no"), "tier_rate_limited"),
        (TierUnavailable("no"), "tier_unavailable"),
        (InvalidRequest("no"), "InvalidRequest"),
    ],
)
async def test_a_refused_call_is_failed_and_costs_nothing(
    database: Database, ledger: Ledger, error: StepwellError, code: str
) -> None:
    asked = call()
    with pytest.raises(type(error)):
        await metered(Answers(error=error), ledger, hosted=True).complete(REQUEST, asked)
    await ledger.flush()
    (row,) = await rows(database)
    assert (row["outcome"], row["reason"], row["error"]) == ("failed", code, code)
    assert (row["cost"], row["prompt_tokens"], row["usage_estimated"]) == (0, 0, False)


@pytest.mark.parametrize("error", [TierTimeout("late"), TierProtocolError("?"), KeyError("bug")])
async def test_a_call_that_may_have_been_billed_counts_with_the_most(
    ledger: Ledger, error: Exception
) -> None:
    asked = call()
    backend = metered(
        Answers(error=error), ledger, output={"max_tokens": 1_000}, thinking_tokens=500
    )
    with pytest.raises(type(error)):
        await backend.complete(REQUEST, asked)
    attempt = only(asked)
    assert attempt.outcome == "failed"
    assert attempt.usage.estimated
    assert attempt.usage.completion_tokens == 1_500
    assert attempt.cost_usd == CHEAP.upper_bound(attempt.usage)
    assert attempt.cost_usd > Decimal("0.0075")


async def test_the_clients_own_limit_bounds_the_most(ledger: Ledger) -> None:
    asked = call()
    short = REQUEST.model_copy(update={"max_completion_tokens": 7})
    with pytest.raises(TierTimeout):
        await metered(Answers(error=TierTimeout("late")), ledger).complete(short, asked)
    assert only(asked).usage.completion_tokens == 7


async def test_a_cancelled_call_is_recorded_as_such(database: Database, ledger: Ledger) -> None:
    asked, inner = call(), Answers(hang=True)
    task = asyncio.create_task(metered(inner, ledger).complete(REQUEST, asked))
    await inner.called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ledger.flush()
    (row,) = await rows(database)
    assert (row["outcome"], row["reason"]) == ("cancelled", "cancelled")
    assert row["usage_estimated"]


async def test_who_cancels_may_say_why(ledger: Ledger) -> None:
    """A driver whose deadline passed knows better than the meter that sees a cancellation."""
    asked = call()
    backend = metered(Answers(hang=True), ledger)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await backend.complete(REQUEST, asked)
    only(asked).judge("failed", "tier_timeout")
    await asyncio.sleep(0)
    assert (only(asked).outcome, only(asked).reason) == ("failed", "tier_timeout")


async def test_a_hosted_call_is_written_before_it_leaves(
    database: Database, ledger: Ledger
) -> None:
    seen: list[Any] = []

    class Looks(Answers):
        async def complete(self, request: Any, call: Call) -> Completion:
            seen.extend(await rows(database))
            return await super().complete(request, call)

    asked = call()
    await metered(Looks(), ledger, hosted=True).complete(REQUEST, asked)
    (row,) = seen
    assert row["outcome"] == "intent"
    assert row["cost"] > CHEAP.cost(only(asked).usage)
    only(asked).judge("accepted", "")
    await ledger.flush()
    (row,) = await rows(database)
    assert (row["outcome"], row["cost"]) == ("accepted", CHEAP.cost(USAGE))


async def test_a_local_call_needs_no_intent(database: Database, ledger: Ledger) -> None:
    await metered(Answers(), ledger).complete(REQUEST, call())
    assert await rows(database) == []


async def test_a_hosted_call_does_not_leave_unrecorded(database: Database, ledger: Ledger) -> None:
    await break_down(database)
    asked, inner = call(), Answers()
    with pytest.raises(TierUnavailable) as caught:
        await metered(inner, ledger, hosted=True).complete(REQUEST, asked)
    assert caught.value.code == "ledger_unavailable"
    assert not inner.called.is_set()
    assert only(asked).outcome == "failed"
    assert only(asked).cost_usd == 0
    await repair(database)
    await ledger.flush()
    (row,) = await rows(database)
    assert (row["outcome"], row["cost"]) == ("failed", 0)


async def test_a_full_ledger_refuses_new_work(database: Database) -> None:
    ledger = Ledger(database, baseline=None, flush_interval_s=60.0, max_buffered_rows=1)
    await break_down(database)
    ledger.open(call(), kind="cache_hit", tier="t", model="m", simulated=True).judge("accepted", "")
    asked, inner = call(), Answers()
    with pytest.raises(Overloaded):
        await metered(inner, ledger).complete(REQUEST, asked)
    assert not inner.called.is_set()
    assert asked.trace.attempts == []
    await repair(database)
    await ledger.close()
