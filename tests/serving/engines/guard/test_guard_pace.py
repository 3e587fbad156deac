"""The guard keeps to what the tier's provider says is left, and to what an account can pay."""

import asyncio
import time
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from serving.allowance import Allowance
from serving.engines.guard.guard import Guard
from serving.engines.guard.pace import Pace
from serving.errors import TierMisconfigured, TierPaused
from tests.serving.engines.guard.helpers import (
    ANSWER,
    Clock,
    Scripted,
    circuit,
    guard,
    settings,
    settle,
)
from tests.serving.engines.helpers import ask, call, chunks_of


def told(remaining: int, reset_s: float) -> Pace:
    """A pace that has heard of a limit of 100 calls."""
    pace = Pace()
    pace.report((Allowance("calls", 100, remaining, reset_s),), 0.0)
    return pace


async def test_where_nothing_is_left_of_a_rate_limit_no_call_leaves() -> None:
    tier = Scripted()
    it = Guard(tier, settings(), pace=told(0, 40.0))
    for asked in (it.complete(ask(), call()), chunks_of(it, ask())):
        with pytest.raises(TierPaused, match="nothing is left of its limit on calls") as paused:
            await asked
        assert paused.value.retry_after == pytest.approx(40, abs=1)
    assert (tier.asked, it.state.running) == ([], 0)
    assert it.state.wait_s == pytest.approx(40, abs=1)


async def test_where_little_is_left_calls_leave_one_by_one_and_none_is_refused() -> None:
    tier = Scripted()
    it = Guard(tier, settings(queue_timeout_s=0.1), pace=told(3, 30.0))
    assert await it.complete(ask(), call()) is ANSWER
    began = time.monotonic()
    assert await it.complete(ask(), call()) is ANSWER
    assert 0.09 < time.monotonic() - began < 5
    assert (tier.most, it.state.running) == (1, 0)


async def test_a_short_wait_for_a_rate_limit_is_no_error() -> None:
    it = Guard(Scripted(), settings(), pace=told(0, 0.1))
    began = time.monotonic()
    assert await it.complete(ask(), call()) is ANSWER
    assert 0.09 < time.monotonic() - began < 5


async def test_who_can_wait_for_a_rate_limit_is_in_nobodys_way() -> None:
    tier = Scripted()
    it = Guard(tier, settings(queue_timeout_s=0.2), pace=told(0, 30.0))
    can_wait = replace(call(), urgency="offline", deadline=time.monotonic() + 600)
    waiting = [asyncio.create_task(it.complete(ask(), can_wait)) for _ in range(3)]
    await settle()
    assert it.state.running == 3
    with pytest.raises(TierPaused, match="nothing is left"):
        await it.complete(ask(), call())
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (tier.asked, it.state.running) == ([], 0)


async def test_the_usage_of_answers_says_how_many_more_calls_a_limit_on_tokens_holds() -> None:
    pace = Pace()
    it = Guard(Scripted(), settings(), pace=pace)
    await it.complete(ask(), call())  # 3 tokens in, 1 out
    await chunks_of(it, ask())
    pace.report((Allowance("input_tokens", 100, 2, 40.0),), 0.0)
    with pytest.raises(TierPaused, match="input tokens"):
        await it.complete(ask(), call())


@pytest.mark.parametrize(("remaining", "limit"), [(19, 1), (100, 2)])
async def test_a_slowed_tier_is_not_asked_more_at_once(remaining: int, limit: int) -> None:
    chosen = settings(adaptive=True, start_concurrent=1, min_concurrent=1, queue_timeout_s=0.02)
    it = Guard(Scripted(), chosen, pace=told(remaining, 30.0))
    for _ in range(2):
        await it.complete(ask(), call())
    assert it.state.limit == limit


async def test_an_account_that_cannot_pay_is_left_alone_for_a_while() -> None:
    clock = Clock()
    broke = TierMisconfigured("top: no credit", code="spend_limit", retry_after=60.0)
    tier = Scripted(broke)
    tier.open.clear()
    it = guard(tier, clock, max_concurrent=1)
    tasks = [asyncio.create_task(it.complete(ask(), call())) for _ in range(3)]
    await settle()
    with capture_logs() as logs:
        tier.open.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(e) for e in ended] == [TierMisconfigured] * 3  # those who waited too
    assert [e for e in logs if e["event"] == "tier_paused"] == [
        {"event": "tier_paused", "log_level": "warning", "tier": "local", "reason": "spend_limit",
         "seconds": 60.0}
    ]  # fmt: skip
    clock.now += 20
    with pytest.raises(TierMisconfigured, match="no credit; it is left alone") as left_alone:
        await it.complete(ask(), call())
    assert (left_alone.value.code, left_alone.value.retry_after) == ("spend_limit", 40.0)
    assert (len(tier.asked), circuit(it)) == (1, "closed")
    clock.now += 40
    assert await it.complete(ask(), call()) is ANSWER


async def test_a_misconfigured_tier_that_names_no_time_is_asked_again() -> None:
    tier = Scripted(*[TierMisconfigured("no such model")] * 2)
    it = guard(tier)
    for _ in range(2):
        with pytest.raises(TierMisconfigured):
            await it.complete(ask(), call())
    assert len(tier.asked) == 2
