"""The batch adapter against the emulator, with the real SDK over real HTTP."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from serving.batches import (
    BatchCounts,
    PreparedLine,
)
from serving.costs.rate_card import RateCard
from serving.errors import (
    InvalidRequest,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.hosted import batches
from serving.settings.emulator import EmulatorBatches
from tests.serving.hosted.batch_stage import collected, lines, stage
from tests.serving.hosted.fakes import OPUS, chat, weather_tool

SLOW = EmulatorBatches(delay_s=10, requests_per_s=1)


async def test_a_batch_from_submit_to_results() -> None:
    price = RateCard.load().price(OPUS)
    async with stage(price=price) as it:
        handle = await it.backend.submit(lines(it.backend, 3), tag="job-1")
        assert (handle.lines, handle.tag) == (3, None)
        began = await it.backend.poll(handle.id)
        assert (began.state, began.counts, began.handle) == ("running", None, handle)
        assert began.expires_at == handle.created_at + timedelta(hours=24)
        with pytest.raises(InvalidRequest, match="has not ended"):
            await collected(it.backend, handle.id)
        await it.api.pass_s(60)
        ended = await it.backend.poll(handle.id)
        assert (ended.state, ended.counts) == ("ended", BatchCounts(succeeded=3))
        found = await collected(it.backend, handle.id)
    assert found.keys() == {"line-0", "line-1", "line-2"}
    for result in found.values():
        assert result.state == "succeeded"
        assert result.completion is not None
        assert result.completion.first.content == "Paris."
        usage = result.completion.usage
        by_hand = (2 * usage.prompt_tokens + 10 * usage.completion_tokens) * Decimal("1e-6")
        assert result.cost_usd == by_hand > 0


async def test_our_bill_is_the_providers() -> None:
    """Reads, writes for five minutes and an hour, and long prompts, at half the price of a call."""
    model = "claude-haiku-5-5"
    card = RateCard.load().price(model)
    shared = {"role": "system", "content": "word " * 9_000}
    hour = {**shared, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    short = {**shared, "cache_control": {"type": "ephemeral"}}
    long = chat("word " * 101_000)
    rules = EmulatorBatches(requests_per_s=1, cache_share=1.0)
    async with stage(model, card, batches=rules) as it:
        asked = [chat(hour, "1"), chat(hour, "2"), chat(short, "3"), long]
        sent = [it.backend.prepare(f"l{i}", request) for i, request in enumerate(asked)]
        handle = await it.backend.submit(sent, tag="")
        await it.api.pass_s(600)
        found = await collected(it.backend, handle.id)
        billed = it.api.emulator.account.total(batch=True).usd
    costs = [r.cost_usd for r in found.values() if r.cost_usd is not None]
    assert len(costs) == 4
    assert sum(costs) == billed
    usages = [r.completion.usage for r in found.values() if r.completion is not None]
    assert any(u.cached_tokens for u in usages)
    assert any(u.cache_write_1h_tokens for u in usages)
    assert any(u.prompt_tokens > 100_000 for u in usages)


async def test_an_unknown_price_is_unknown_and_what_is_not_billed_costs_nothing() -> None:
    async with stage(batches=EmulatorBatches(errored=0.5, expired=0.2), seed=3) as it:
        handle = await it.backend.submit(lines(it.backend, 40), tag="")
        await it.api.pass_s(600)
        found = (await collected(it.backend, handle.id)).values()
        counts = (await it.backend.poll(handle.id)).counts
    states = [r.state for r in found]
    succeeded, errored, expired = (states.count(s) for s in ("succeeded", "errored", "expired"))
    assert counts == BatchCounts(succeeded, errored, 0, expired)
    assert min(succeeded, errored, expired) > 0
    for result in found:
        assert result.cost_usd == (None if result.state == "succeeded" else 0)
        match result.state:
            case "errored":
                assert isinstance(result.error, TierUnavailable)
            case "expired":
                assert isinstance(result.error, TierTimeout)
                assert result.error.code == "batch_expired"


async def test_what_is_wrong_with_a_line_comes_back_as_its_error() -> None:
    async with stage() as it:
        bad = b'{"custom_id":"bad","params":{"model":"claude-opus-5-5","max_tokens":5,"top_k":1}}\n'
        sent = [*lines(it.backend, 1), PreparedLine("bad", bad)]
        handle = await it.backend.submit(sent, tag="")
        await it.api.pass_s(60)
        found = await collected(it.backend, handle.id)
    assert found["line-0"].state == "succeeded"
    assert isinstance(found["bad"].error, TierRejected)
    assert found["bad"].error.message.startswith("tier top: ")


async def test_cancelling() -> None:
    async with stage(batches=SLOW) as it:
        handle = await it.backend.submit(lines(it.backend, 5), tag="")
        await it.api.pass_s(11.5)  # two of them are done
        assert (await it.backend.cancel(handle.id)).state == "cancelling"
        await it.api.pass_s(5)
        assert (await it.backend.cancel(handle.id)).state == "ended"  # no error
        found = await collected(it.backend, handle.id)
        status = await it.backend.poll(handle.id)
    assert status.counts == BatchCounts(succeeded=2, cancelled=3)
    lost = [r.error for r in found.values() if r.state == "cancelled"]
    assert [e.code for e in lost if e is not None] == ["batch_cancelled"] * 3


async def test_requests_are_translated_as_calls_are() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    async with stage() as it:
        line = it.backend.prepare(
            "a", chat("Hi", temperature=0.5, response_format=wanted, stop=[" "])
        )
        assert (line.dropped, len(line.notes)) == (("stop[0]",), 1)
        assert b"temperature" not in line.data
        with pytest.raises(TierRejected):
            it.backend.prepare("b", chat(tools=[weather_tool()], tool_choice="required"))
        with pytest.raises(TierRejected, match="JSON"):
            it.backend.prepare("c", chat("half a pair: \ud83d"))
        with pytest.raises(InvalidRequest):
            it.backend.prepare("no id", chat())


async def test_what_is_no_batch_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as it:
        one = lines(it.backend, 1)
        monkeypatch.setattr(batches, "LIMITS", type(batches.LIMITS)(2, 10_000))
        for wrong, code in (
            ([], "batch_empty"),
            (one * 2, "duplicate_custom_id"),
            (lines(it.backend, 3), "batch_too_large"),
            ([PreparedLine("x", b"x" * 10_001)], "batch_too_large"),
        ):
            with pytest.raises(InvalidRequest) as caught:
                await it.backend.submit(wrong, tag="")
            assert caught.value.code == code
        assert it.faulty.asked == []


async def test_what_is_sent_is_the_lines_and_nothing_more() -> None:
    """So that the limit on lines keeps the API's on bodies, to the byte."""
    async with stage() as it:
        sent = [it.backend.prepare(f"line-{i}", chat("é" * 5_000)) for i in range(40)]
        await it.backend.submit(sent, tag="")
        (body,) = it.faulty.bodies
    assert json.loads(body) == {"requests": [json.loads(line.data) for line in sent]}
    framing = len(body) - sum(len(line.data) for line in sent)
    assert it.backend.limits.bytes + framing < 256_000_000 < it.backend.limits.bytes + 20


async def test_batches_since_a_time_latest_first_over_several_pages() -> None:
    async with stage() as it:
        made = []
        for i in range(batches.PAGE + 5):
            made.append((await it.backend.submit(lines(it.backend, 1), tag="")).id)
            if i == 1:
                await it.api.pass_s(100)
        everything = [s.handle.id async for s in it.backend.list(datetime(2020, 1, 1, tzinfo=UTC))]
        since = (await it.backend.poll(made[2])).handle.created_at
        later = [s.handle.id async for s in it.backend.list(since)]
    assert everything == made[::-1]
    assert later == made[:1:-1]
