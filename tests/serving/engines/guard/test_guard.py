"""The guard as its callers meet it."""

import asyncio
import pickle
import time
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from serving.errors import (
    StepwellError,
    TierCircuitOpen,
    TierPaused,
    TierProtocolError,
    TierQueueFull,
    TierQueueTimeout,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.wire.completion import Chunk, Completion
from tests.serving.engines.guard.helpers import (
    ANSWER,
    CHUNKS,
    Clock,
    Scripted,
    circuit,
    guard,
    settle,
)
from tests.serving.engines.helpers import ask, call, chunks_of, mock


async def test_answers_and_streams_pass_as_they_are() -> None:
    it = guard(Scripted())
    assert await it.complete(ask(), call()) is ANSWER
    assert tuple(await chunks_of(it, ask())) == CHUNKS
    assert (it.state.running, it.state.queued, circuit(it)) == (0, 0, "closed")


async def test_only_so_many_at_once_then_so_many_wait_then_at_once_no() -> None:
    tier = Scripted()
    tier.open.clear()
    it = guard(tier, max_concurrent=2, max_queued=3)
    tasks = [asyncio.create_task(it.complete(ask(), call())) for _ in range(5)]
    await settle()
    assert (it.state.running, it.state.queued, it.state.limit) == (2, 3, 2)
    with pytest.raises(TierQueueFull) as full:
        await it.complete(ask(), call())
    assert full.value.code == "tier_queue_full"
    assert full.value.retry_after is not None
    assert full.value.retry_after >= 1
    tier.open.set()
    assert await asyncio.gather(*tasks) == [ANSWER] * 5
    assert (tier.most, it.state.running, it.state.queued) == (2, 0, 0)


async def test_a_wait_ends_with_the_queue_s_time_or_the_request_s() -> None:
    tier = Scripted()
    tier.open.clear()
    it = guard(tier, max_concurrent=1, queue_timeout_s=0.02)
    running = asyncio.create_task(it.complete(ask(), call()))
    await settle()
    with pytest.raises(TierQueueTimeout):
        await it.complete(ask(), call())
    patient = guard(tier, max_concurrent=1)
    also = asyncio.create_task(patient.complete(ask(), call()))
    await settle()
    began = time.monotonic()
    with pytest.raises(TierQueueTimeout):
        await patient.complete(ask(), call(0.02))
    assert time.monotonic() - began < 2
    tier.open.set()
    await asyncio.gather(running, also)
    assert len(tier.asked) == 2


async def test_advice_grows_with_the_work_ahead() -> None:
    clock = Clock()
    tier = Scripted()
    it = guard(tier, clock, max_concurrent=1, max_queued=4)

    async def slow() -> Completion:
        tier.open.clear()
        task = asyncio.create_task(it.complete(ask(), call()))
        await settle()
        clock.now += 3
        tier.open.set()
        return await task

    await slow()
    tier.open.clear()
    tasks = [asyncio.create_task(it.complete(ask(), call())) for _ in range(5)]
    await settle()
    with pytest.raises(TierQueueFull) as full:
        await it.complete(ask(), call())
    assert full.value.retry_after == pytest.approx(15)
    tier.open.set()
    await asyncio.gather(*tasks)


async def test_a_stream_holds_its_slot_until_it_is_closed() -> None:
    it = guard(mock(), max_concurrent=1, max_queued=0)
    async with aclosing(it.stream(ask(), call())) as chunks:
        assert it.state.running == 0  # nothing was asked yet
        await anext(chunks)
        assert it.state.running == 1
        with pytest.raises(TierQueueFull):
            await chunks_of(it, ask())
    assert it.state.running == 0
    assert len(await chunks_of(it, ask())) > 2


async def test_running_falls_to_zero_after_cancellation() -> None:
    tier = mock(time_scale=1, ttft_ms=60_000)
    it = guard(tier, max_concurrent=3)

    async def read() -> list[Chunk]:
        return await chunks_of(it, ask())

    calls = [asyncio.create_task(it.complete(ask(), call())) for _ in range(3)]
    streams = [asyncio.create_task(read()) for _ in range(3)]
    await settle()
    assert (it.state.running, it.state.queued, tier.running) == (3, 3, 3)
    for task in (*calls, *streams):
        task.cancel()
    await asyncio.gather(*calls, *streams, return_exceptions=True)
    assert (it.state.running, it.state.queued, tier.running) == (0, 0, 0)
    assert circuit(it) == "closed"


async def test_a_broken_tier_is_left_alone_and_tried_again() -> None:
    clock = Clock()
    down = TierUnavailable("refused")
    tier = Scripted(down, TierTimeout("gave up"), TierProtocolError("broke off"), None)
    it = guard(tier, clock, breaker={"faults": 3, "reset_s": 10})
    for _ in range(3):
        with pytest.raises(StepwellError):
            await it.complete(ask(), call())
    with pytest.raises(TierCircuitOpen) as broken:
        await it.complete(ask(), call())
    assert broken.value.retry_after == 10
    assert not broken.value.retryable
    assert (len(tier.asked), circuit(it)) == (3, "open")
    clock.now += 10
    tier.open.clear()
    trial = asyncio.create_task(it.complete(ask(), call()))
    await settle()
    assert circuit(it) == "half_open"
    with pytest.raises(TierCircuitOpen):
        await chunks_of(it, ask())
    tier.open.set()
    assert await trial is ANSWER
    assert circuit(it) == "closed"
    assert tuple(await chunks_of(it, ask())) == CHUNKS


async def test_a_cancelled_trial_leaves_the_next_one_to_decide() -> None:
    clock = Clock()
    tier = Scripted(TierUnavailable("refused"))
    it = guard(tier, clock, breaker={"faults": 1, "reset_s": 10})
    with pytest.raises(TierUnavailable):
        await it.complete(ask(), call())
    clock.now += 10
    tier.open.clear()
    trial = asyncio.create_task(it.complete(ask(), call()))
    await settle()
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    assert circuit(it) == "half_open"
    tier.open.set()
    assert await it.complete(ask(), call()) is ANSWER
    assert circuit(it) == "closed"


async def test_refusals_never_open_the_circuit() -> None:
    it = guard(Scripted(*[TierRejected("no")] * 20), breaker={"faults": 1})
    for _ in range(20):
        with pytest.raises(TierRejected):
            await it.complete(ask(), call())
    assert circuit(it) == "closed"


async def test_a_client_in_a_hurry_takes_the_tier_from_nobody() -> None:
    it = guard(mock(time_scale=1, ttft_ms=60_000), breaker={"faults": 1})
    with pytest.raises(TierTimeout):
        await it.complete(ask(), call(0.02))
    assert circuit(it) == "closed"


async def test_a_tier_that_takes_all_its_time_is_too_slow_whoever_stops_it() -> None:
    tier = mock(time_scale=1, ttft_ms=60_000, deadline_s=30)
    it = guard(tier, deadline_s=0.05, breaker={"faults": 1})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await it.complete(ask(), call())
    assert circuit(it) == "open"


@pytest.mark.parametrize(
    ("error", "sent_away"),
    [
        (TierUnavailable("refused"), TierCircuitOpen),
        (TierRateLimited("slow down", retry_after=7.0), TierPaused),
    ],
)
async def test_those_who_wait_are_sent_away_when_there_is_nothing_to_wait_for(
    error: StepwellError, sent_away: type[StepwellError]
) -> None:
    """The limit falls to what still runs, so no slot comes free that would tell them."""
    tier = Scripted(error)
    tier.open.clear()
    limits: dict[str, Any] = {"adaptive": True, "start_concurrent": 2, "min_concurrent": 1}
    it = guard(tier, breaker={"faults": 1}, **limits)
    stuck = asyncio.create_task(it.complete(ask(), replace(call(), request_id="stuck")))
    tasks = [asyncio.create_task(it.complete(ask(), call())) for _ in range(4)]
    await settle()
    assert it.state.queued == 3
    tier.open.set()
    ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
    assert [type(e) for e in ended] == [type(error)] + [sent_away] * 3
    assert (len(tier.asked), it.state.running, it.state.queued) == (2, 1, 0)
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_a_tier_that_is_given_up_while_one_waits_for_a_slot_is_not_asked() -> None:
    tier = Scripted(TierUnavailable("refused"))
    tier.open.clear()
    it = guard(tier, max_concurrent=1, breaker={"faults": 1})
    tasks = [asyncio.create_task(it.complete(ask(), call())) for _ in range(3)]
    await settle()
    tier.open.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(e) for e in ended] == [TierUnavailable] + [TierCircuitOpen] * 2
    assert len(tier.asked) == 1


async def test_a_stream_that_began_may_be_left_at_any_time() -> None:
    tier = Scripted()
    tier.open.clear()
    it = guard(tier, deadline_s=0.02, breaker={"faults": 1})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await chunks_of(it, ask())
    assert (circuit(it), it.state.running) == ("closed", 0)


async def test_without_a_breaker_nothing_is_given_up() -> None:
    it = guard(Scripted(*[TierUnavailable("refused")] * 50), breaker=None)
    for _ in range(50):
        with pytest.raises(TierUnavailable):
            await it.complete(ask(), call())
    assert circuit(it) == "off"


async def test_no_call_leaves_before_the_tier_s_pause_has_passed() -> None:
    clock = Clock()
    tier = Scripted(TierRateLimited("slow down", retry_after=7.0))
    it = guard(tier, clock)
    with pytest.raises(TierRateLimited):
        await it.complete(ask(), call())
    clock.now += 2
    with pytest.raises(TierPaused) as paused:
        await it.complete(ask(), call())
    assert (paused.value.retry_after, it.state.pause_s) == (5.0, 5.0)
    assert len(tier.asked) == 1
    clock.now += 5
    assert await it.complete(ask(), call()) is ANSWER
    assert it.state.pause_s == 0


async def test_a_shorter_pause_does_not_end_a_longer_one_and_none_is_for_ever() -> None:
    clock = Clock()
    tier = Scripted(
        TierRateLimited("slow down", retry_after=86_400.0),
        TierUnavailable("overloaded", retry_after=1.0),
    )
    tier.open.clear()
    it = guard(tier, clock)
    both = [asyncio.create_task(it.complete(ask(), call())) for _ in range(2)]
    await settle()
    tier.open.set()
    await asyncio.gather(*both, return_exceptions=True)
    assert it.state.pause_s == 600


async def test_an_adaptive_limit_halves_once_per_overload_and_grows_back() -> None:
    tier = Scripted(*[TierRateLimited("slow down")] * 8)
    tier.open.clear()
    it = guard(tier, adaptive=True, start_concurrent=8, min_concurrent=2, max_concurrent=32)
    tasks = [asyncio.create_task(it.complete(ask(), call())) for _ in range(8)]
    await settle()
    assert it.state.limit == 8
    tier.open.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert it.state.limit == 4
    tier.most = 0
    await asyncio.gather(*(it.complete(ask(), call()) for _ in range(60)))
    assert 8 < it.state.limit < 16
    assert 4 < tier.most <= it.state.limit
    assert it.state.running == 0


@pytest.mark.parametrize(
    "error",
    [TierQueueFull, TierQueueTimeout, TierPaused, TierCircuitOpen],
)
def test_its_errors_cross_processes(error: type[StepwellError]) -> None:
    copy = pickle.loads(pickle.dumps(error("why", retry_after=2.5)))
    assert type(copy) is error
    assert (copy.message, copy.code, copy.retry_after) == ("why", error.code, 2.5)
