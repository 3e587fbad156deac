import asyncio
import time
from contextlib import aclosing

import pytest

from serving.backend import Ability
from serving.engines.mock.engine import mock_ability
from serving.errors import InvalidRequest, TierProtocolError, TierTimeout, TierUnavailable
from serving.wire.chat import ChatRequest
from tests.serving.engines.helpers import (
    ask,
    assembled,
    call,
    check_order,
    chunks_of,
    engine,
    mock,
    until_error,
)
from tests.serving.engines.mock.test_plan import FORMAT, WEATHER

REQUESTS = [
    ask(),
    ask(n=3, seed=5),
    ask(stop="e"),
    ask(stop=[" ", "\n"]),
    ask(max_tokens=1),
    ask(logprobs=True, top_logprobs=2),
    ask("Who is it?", response_format=FORMAT, n=2),
    ask("Weather in Rome and weather in Paris", tools=[WEATHER], n=2),
    ask(metadata={"mock_fault": "refuse"}),
    ask(metadata={"mock_fault": "truncate"}),
]


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("logprobs", [True, False])
async def test_a_stream_amounts_to_the_completion(request_: ChatRequest, logprobs: bool) -> None:
    backend = mock(logprobs=logprobs)
    whole = await backend.complete(request_, call())
    chunks = await chunks_of(backend, request_)
    check_order(chunks)
    streamed = assembled(chunks)
    assert streamed.choices == whole.choices
    assert streamed.usage == whole.usage
    assert streamed.model == whole.model == "local-model"
    assert backend.running == 0


async def test_chunks_are_tokens() -> None:
    chunks = await chunks_of(mock(), ask())
    content = [c for c in chunks if c.content]
    assert chunks[-1].usage is not None
    assert len(content) == chunks[-1].usage.completion_tokens
    assert all(c.logprobs is not None and c.logprobs[0].token == c.content for c in content)


async def test_choices_are_streamed_side_by_side() -> None:
    chunks = await chunks_of(mock(), ask(n=2))
    assert [c.index for c in chunks[:4]] == [0, 0, 1, 1]


async def test_answers_do_not_depend_on_what_runs_beside_them() -> None:
    backend = mock(ability=0.0)
    requests = [ask(f"Where is card {i}?") for i in range(30)]
    alone = [(await backend.complete(r, call())).choices for r in requests]
    beside = await asyncio.gather(*(backend.complete(r, call()) for r in reversed(requests)))
    assert [c.choices for c in reversed(beside)] == alone


async def test_time_passes_as_configured() -> None:
    backend = mock(time_scale=1, ttft_ms=40, tokens_per_s=400, jitter=0)
    began = time.monotonic()
    async with aclosing(backend.stream(ask(max_tokens=20), call())) as chunks:
        await anext(chunks)
        first = time.monotonic() - began
        assert backend.running == 1
        async for _ in chunks:
            pass
    assert 0.035 <= first < 2
    assert 0.085 <= time.monotonic() - began < 3
    began = time.monotonic()
    await backend.complete(ask(max_tokens=20), call())
    assert 0.085 <= time.monotonic() - began < 3


async def test_time_scale_zero_waits_for_nothing() -> None:
    backend = mock(ttft_ms=60_000, tokens_per_s=0.1)
    began = time.monotonic()
    await backend.complete(ask(), call())
    assert len(await chunks_of(backend, ask())) > 5
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("fault", ["hang", "none"])
async def test_cancellation_stops_at_once(fault: str) -> None:
    backend = mock(time_scale=1, ttft_ms=60_000)
    request = ask(metadata={"mock_fault": fault} if fault != "none" else {})
    task = asyncio.create_task(backend.complete(request, call()))
    stream = asyncio.create_task(chunks_of(backend, request))
    await asyncio.sleep(0.02)
    assert backend.running == 2
    for each in (task, stream):
        each.cancel()
    began = time.monotonic()
    results = await asyncio.gather(task, stream, return_exceptions=True)
    assert all(isinstance(r, asyncio.CancelledError) for r in results)
    assert time.monotonic() - began < 0.5
    assert backend.running == 0


async def test_a_closed_stream_stops() -> None:
    backend = mock()
    stream = backend.stream(ask(), call())
    await anext(stream)
    assert backend.running == 1
    await stream.aclose()
    assert backend.running == 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("error", TierUnavailable),
        ("error_midstream", TierProtocolError),
        ("hang", TierTimeout),
        ("nonsense", InvalidRequest),
    ],
)
async def test_faults_that_raise(fault: str, error: type[Exception]) -> None:
    backend = mock(deadline_s=0.05)
    request = ask(metadata={"mock_fault": fault})
    with pytest.raises(error):
        await backend.complete(request, call())
    got, raised = await until_error(backend, request)
    assert isinstance(raised, error)
    assert backend.running == 0
    if fault == "error_midstream":
        whole = await chunks_of(backend, ask())
        assert 3 < len(got) < len(whole) - 3
        assert all(c.finish_reason is None for c in got)
    else:
        assert got == []


async def test_a_fault_of_one_tier_leaves_the_others_alone() -> None:
    request = ask(metadata={"mock_fault": "error", "mock_fault_tier": "small"})
    with pytest.raises(TierUnavailable):
        await mock("small").complete(request, call())
    assert (await mock("large").complete(request, call())).first.content


async def test_shares_of_faults_come_in_the_config() -> None:
    with pytest.raises(TierUnavailable):
        await mock(faults={"error": 1.0}).complete(ask(), call())


@pytest.mark.parametrize(("tier_s", "call_s"), [(0.05, 30), (30, 0.05), (30, -1)])
async def test_the_earlier_deadline_counts(tier_s: float, call_s: float) -> None:
    backend = mock(time_scale=1, ttft_ms=60_000, deadline_s=tier_s)
    began = time.monotonic()
    with pytest.raises(TierTimeout):
        await backend.complete(ask(), call(call_s))
    with pytest.raises(TierTimeout):
        await chunks_of(backend, ask(), call(call_s))
    assert time.monotonic() - began < 1


async def test_a_stream_may_be_late_after_its_first_token() -> None:
    backend = mock(time_scale=1, ttft_ms=1, tokens_per_s=100, deadline_s=0.1)
    got, raised = await until_error(backend, ask())
    assert isinstance(raised, TierTimeout)
    assert any(c.content for c in got)


def test_ability() -> None:
    found = mock_ability(engine(logprobs=False))
    assert found == Ability(
        images=True,
        multiple_choices=True,
        logprobs=False,
        context_tokens=found.context_tokens,
    )
    assert found.context_tokens > 10_000_000
    assert mock_ability(engine()).logprobs


async def test_a_short_request_costs_little() -> None:
    backend, request, at = mock(), ask(), call()
    best = 1.0
    for _ in range(10):
        began = time.process_time()
        for _ in range(50):
            await backend.complete(request, at)
        best = min(best, (time.process_time() - began) / 50)
    assert best < 1e-3  # 0.2 ms on an idle core; the bound leaves room for slow machines
