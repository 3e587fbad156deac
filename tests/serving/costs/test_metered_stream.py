"""Metering of streams: time to the first token, early ends, figures before the last chunk."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from serving.backend import Backend, Call
from serving.costs.estimate import TOKENS_IN_FLIGHT, estimate_tokens
from serving.costs.ledger import Ledger
from serving.errors import (
    TierTimeout,
    TierUnavailable,
)
from serving.storage.database import Database
from serving.wire.completion import Chunk, ToolCallPart
from tests.serving.costs.fakes import (
    CHEAP,
    REQUEST,
    USAGE,
    Streams,
    call,
    head,
    metered,
    only,
    rows,
)

ROLE = replace(head(), role="assistant", content="")
TEXT = [replace(head(), content=text) for text in ("Your card ", "is on ", "its way.")]
END = replace(head(), finish_reason="stop")
TOTAL = replace(head(), usage=USAGE)
WHOLE = [ROLE, *TEXT, END, TOTAL]


async def read(backend: Backend, asked: Call) -> list[Chunk]:
    async with aclosing(backend.stream(REQUEST, asked)) as chunks:
        return [chunk async for chunk in chunks]


async def test_a_stream_is_priced_before_its_usage_chunk_goes_out(ledger: Ledger) -> None:
    asked = call()
    seen: list[Chunk] = []
    async with aclosing(metered(Streams(WHOLE), ledger).stream(REQUEST, asked)) as chunks:
        async for chunk in chunks:
            seen.append(chunk)
            attempt = only(asked)
            assert (attempt.cost_usd is None) == (chunk.usage is None)
            if chunk.content:
                assert attempt.ttft_ms is not None
    assert seen == WHOLE
    assert only(asked).cost_usd == CHEAP.cost(USAGE)
    assert only(asked).latency_ms is not None
    assert only(asked).outcome == "open"


@pytest.mark.parametrize(
    ("chunk", "counts"),
    [
        (ROLE, False),
        (END, False),
        (TEXT[0], True),
        (replace(head(), reasoning="hm"), True),
        (replace(head(), refusal="no"), True),
        (replace(head(), tool_calls=(ToolCallPart(0, id="c", name="f"),)), True),
    ],
)
async def test_the_first_token_is_the_first_that_says_something(
    ledger: Ledger, chunk: Chunk, counts: bool
) -> None:
    asked = call()
    await read(metered(Streams([chunk, TOTAL]), ledger), asked)
    assert (only(asked).ttft_ms is not None) == counts


async def test_a_stream_without_usage_gets_one(ledger: Ledger) -> None:
    asked = call()
    chunks = await read(metered(Streams(WHOLE[:-1]), ledger), asked)
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.estimated
    assert chunks[-1].finish_reason is None
    assert usage == only(asked).usage


async def test_a_stream_closed_early_counts_what_had_come(
    database: Database, ledger: Ledger
) -> None:
    asked, inner = call(), Streams(WHOLE)
    async with aclosing(metered(inner, ledger, hosted=True).stream(REQUEST, asked)) as chunks:
        async for chunk in chunks:
            if chunk.content == "is on ":
                break
    assert inner.closed.is_set(), "the tier stops, too"
    await asyncio.sleep(0)
    await ledger.flush()
    (row,) = await rows(database)
    assert (row["outcome"], row["usage_estimated"]) == ("cancelled", True)
    come = estimate_tokens("Your card is on ")
    assert come < row["completion_tokens"] <= 2 * come + TOKENS_IN_FLIGHT
    assert row["cost"] == CHEAP.upper_bound(only(asked).usage)


@pytest.mark.parametrize("early", [True, False])
async def test_who_aborts_a_stream_may_say_why(ledger: Ledger, early: bool) -> None:
    """A gate that aborts judges before or right after it closes the stream."""
    asked = call()
    async with aclosing(metered(Streams(WHOLE), ledger).stream(REQUEST, asked)) as chunks:
        await anext(chunks)
        await anext(chunks)
        if early:
            only(asked).judge("escalated", "gate_prefix")
    only(asked).judge("escalated", "gate_prefix")
    await asyncio.sleep(0)
    assert (only(asked).outcome, only(asked).reason) == ("escalated", "gate_prefix")
    assert only(asked).usage.completion_tokens > 0


async def test_a_stream_that_was_read_to_its_usage_is_no_cancellation(ledger: Ledger) -> None:
    asked = call()
    async with aclosing(metered(Streams(WHOLE), ledger).stream(REQUEST, asked)) as chunks:
        async for chunk in chunks:
            if chunk.usage is not None:
                break
    await asyncio.sleep(0)
    assert only(asked).outcome == "open"
    assert only(asked).cost_usd == CHEAP.cost(USAGE)


async def test_a_cancelled_stream_is_recorded_and_the_tier_stops(
    database: Database, ledger: Ledger
) -> None:
    asked, inner = call(), Streams(WHOLE[:3], hang=True)
    task = asyncio.create_task(read(metered(inner, ledger), asked))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inner.closed.is_set()
    await ledger.flush()
    (row,) = await rows(database)
    assert row["outcome"] == "cancelled"


async def test_a_stream_that_breaks_off_counts_what_had_come(ledger: Ledger) -> None:
    asked = call()
    inner = Streams(WHOLE[:3], error=TierUnavailable("gone"))
    with pytest.raises(TierUnavailable):
        await read(metered(inner, ledger), asked)
    assert (only(asked).outcome, only(asked).error) == ("failed", "tier_unavailable")
    assert only(asked).usage.completion_tokens > TOKENS_IN_FLIGHT
    refused = call()
    with pytest.raises(TierUnavailable):
        await read(metered(Streams([], error=TierUnavailable("gone")), ledger), refused)
    assert only(refused).cost_usd == 0


async def test_a_stream_that_broke_off_before_its_first_word_is_billed_for_its_prompt(
    ledger: Ledger,
) -> None:
    asked = call()
    with pytest.raises(TierUnavailable):
        await read(metered(Streams([ROLE], error=TierUnavailable("gone")), ledger), asked)
    usage = only(asked).usage
    assert usage.estimated
    assert usage.prompt_tokens > 0
    assert only(asked).cost_usd == CHEAP.upper_bound(usage) > 0


async def test_hidden_thoughts_count_where_a_stream_breaks_off(ledger: Ledger) -> None:
    asked = call()
    backend = metered(Streams(WHOLE[:1], error=TierTimeout("late")), ledger, thinking_tokens=8_000)
    with pytest.raises(TierTimeout):
        await read(backend, asked)
    assert only(asked).usage.completion_tokens == 8_000 + TOKENS_IN_FLIGHT
