"""The adapter of OpenAI's batches, with the real SDK over real HTTP."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from serving.batches import (
    BatchBackend,
    BatchCounts,
    BatchHandle,
    BatchResult,
    PreparedLine,
    could_be,
    may_have_arrived,
)
from serving.costs.price import Price, Rates
from serving.engines.openai_compatible import batches
from serving.engines.openai_compatible.batches import OpenAIBatches
from serving.errors import (
    ConfigError,
    InvalidRequest,
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from tests.serving.engines.helpers import ask, engine, tier
from tests.serving.engines.openai_compatible.batch_fake import CREATED, BatchFake, fake_batches
from tests.serving.engines.openai_compatible.fake import answer, settings

RATES = Rates(*(Decimal(n) for n in (2, 10, 1, 2, 2)))
PRICE = Price(RATES, "test", batch_factor=Decimal("0.5"))
START = datetime.fromtimestamp(CREATED, UTC)


@asynccontextmanager
async def stage(
    price: Price | None = PRICE, **engine: Any
) -> AsyncIterator[tuple[OpenAIBatches, BatchFake]]:
    async with fake_batches() as fake:
        backend = OpenAIBatches(settings(fake.url, **engine), price=price)
        typed: BatchBackend = backend
        try:
            yield backend, fake
        finally:
            await typed.aclose()


def lines(backend: OpenAIBatches, count: int = 2, **params: Any) -> list[PreparedLine]:
    return [backend.prepare(f"line-{i}", ask(f"Question {i}", **params)) for i in range(count)]


def done(custom_id: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    body = answer("Yes.") if body is None else body
    response = {"status_code": status, "request_id": "req", "body": body}
    return {"id": "x", "custom_id": custom_id, "response": response, "error": None}


def lost(custom_id: str, code: str) -> dict[str, Any]:
    error = {"code": code, "message": "Not done."}
    return {"id": "x", "custom_id": custom_id, "response": None, "error": error}


async def collected(backend: OpenAIBatches, batch_id: str) -> dict[str, BatchResult]:
    return {r.custom_id: r async for r in backend.collect(batch_id)}


async def test_a_batch_from_submit_to_results() -> None:
    async with stage() as (backend, fake):
        handle = await backend.submit(lines(backend), tag="job-1/0")
        assert handle == BatchHandle("batch-0", START, 2, "job-1/0")
        sent = [json.loads(line) for line in fake.files["file-0"].splitlines()]
        assert sent[1] == {
            "custom_id": "line-1",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "local-model",
                     "messages": [{"role": "user", "content": "Question 1"}]},
        }  # fmt: skip
        began = await backend.poll(handle.id)
        assert (began.state, began.counts) == ("running", None)
        assert began.expires_at == START + timedelta(hours=24)
        with pytest.raises(InvalidRequest, match="has not ended"):
            await collected(backend, handle.id)
        bad = done("line-1", {"error": {"message": "too long", "param": "messages"}}, 400)
        fake.finish(handle.id, [done("line-0")], [bad])
        ended = await backend.poll(handle.id)
        assert (ended.state, ended.counts) == ("ended", BatchCounts(1, 1))
        found = await collected(backend, handle.id)
    good, refused = found["line-0"], found["line-1"]
    assert good.completion is not None
    assert good.completion.first.content == "Yes."
    assert good.cost_usd == (7 * 2 + 3 * 10) / Decimal(2)
    assert isinstance(refused.error, TierRejected)
    assert (refused.error.param, refused.state) == ("messages", "errored")
    assert refused.cost_usd == 0


async def test_what_is_no_batch_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as (backend, fake):
        assert (backend.limits.lines, backend.limits.bytes) == (50_000, 200_000_000)
        monkeypatch.setattr(batches, "LIMITS", type(batches.LIMITS)(1, 10_000))
        for wrong in ([], lines(backend, 2), [PreparedLine("x", b"x" * 10_001)]):
            with pytest.raises(InvalidRequest):
                await backend.submit(wrong, tag="")
        with pytest.raises(InvalidRequest):
            backend.prepare("no id", ask())
        assert fake.headers == []


async def test_lines_that_were_not_done() -> None:
    async with stage() as (backend, fake):
        handle = await backend.submit(lines(backend, 3), tag="")
        ends = [lost("line-0", "batch_expired"), lost("line-1", "batch_cancelled")]
        fake.finish(handle.id, [], [*ends, lost("line-2", "server_error")])
        fake.batches[handle.id]["status"] = "expired"
        assert (await backend.poll(handle.id)).state == "ended"
        found = await collected(backend, handle.id)
    assert [r.state for r in found.values()] == ["expired", "cancelled", "errored"]
    assert [type(r.error) for r in found.values()] == [TierTimeout, TierError, TierUnavailable]
    assert {r.cost_usd for r in found.values()} == {Decimal(0)}


@pytest.mark.parametrize(
    "body",
    ["text", {"choices": []}, {"choices": [{"message": {"content": 5}}]}],
)
async def test_an_answer_that_cannot_be_read_has_an_unknown_price(body: Any) -> None:
    async with stage() as (backend, fake):
        handle = await backend.submit(lines(backend, 1), tag="")
        fake.finish(handle.id, [done("line-0", body)])
        (found,) = (await collected(backend, handle.id)).values()
    assert isinstance(found.error, TierProtocolError)
    assert (found.state, found.cost_usd) == ("errored", None)


@pytest.mark.parametrize(
    ("price", "usage"), [(None, True), (Price(RATES, "test"), True), (PRICE, False)]
)
async def test_an_unknown_price_or_usage_is_no_cost_of_zero(
    price: Price | None, usage: bool
) -> None:
    body = answer("Yes.") if usage else {**answer("Yes."), "usage": None}
    async with stage(price) as (backend, fake):
        handle = await backend.submit(lines(backend, 1), tag="")
        fake.finish(handle.id, [done("line-0", body)])
        (found,) = (await collected(backend, handle.id)).values()
    assert (found.state, found.cost_usd) == ("succeeded", None)


async def test_results_that_cannot_be_read_are_counted_behind_the_others() -> None:
    async with stage() as (backend, fake):
        handle = await backend.submit(lines(backend, 3), tag="")
        fake.finish(handle.id, ["{broken", done("line-1"), '{"custom_id": 5}'])
        found: list[str] = []

        async def collect() -> None:
            async for result in backend.collect(handle.id):
                found.append(result.custom_id)  # noqa: PERF401 - a comprehension would lose them

        with pytest.raises(TierProtocolError, match="2 results of batch batch-0"):
            await collect()
    assert found == ["line-1"]


async def test_a_batch_that_failed_says_why_and_has_no_results() -> None:
    async with stage() as (backend, fake):
        handle = await backend.submit(lines(backend), tag="")
        reasons = [{"code": "bad_line", "line": 1, "message": "Line 1 is no JSON."}]
        fake.batches[handle.id] |= {"status": "failed", "errors": {"data": reasons}}
        status = await backend.poll(handle.id)
        assert (status.state, status.reason) == ("failed", "Line 1 is no JSON.")
        assert await collected(backend, handle.id) == {}


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_cancelling(status: str) -> None:
    async with stage() as (backend, fake):
        handle = await backend.submit(lines(backend), tag="")
        assert (await backend.cancel(handle.id)).state == "cancelling"
        fake.batches[handle.id]["status"] = status
        assert (await backend.cancel(handle.id)).state in {"ended", "failed"}  # and no error
        fake.answers["cancel"].append(JSONResponse({"error": {"message": "busy"}}, 503))
        fake.batches[handle.id]["status"] = "in_progress"
        with pytest.raises(TierUnavailable):
            await backend.cancel(handle.id)


async def test_batches_since_a_time_latest_first_over_several_pages() -> None:
    async with stage() as (backend, _):
        for i in range(5):
            await backend.submit(lines(backend, 1), tag=f"job/{i}")
        found = [s.handle async for s in backend.list(START + timedelta(seconds=1))]
    assert [h.tag for h in found] == ["job/4", "job/3", "job/2", "job/1"]


async def test_a_submit_whose_answer_is_lost_is_found_again_by_its_tag() -> None:
    async with stage() as (backend, fake):
        await backend.submit(lines(backend), tag="job/0")
        fake.answers["create"].append(Response("<html>", 200, media_type="text/html"))
        with pytest.raises(TierProtocolError) as caught:
            await backend.submit(lines(backend), tag="job/1")
        assert may_have_arrived(caught.value)
        there = [s async for s in backend.list(START)]
        (found,) = could_be(there, lines=2, tag="job/1", known=())
        assert found.id == "batch-1"
        assert fake.deleted == []  # the batch needs its file


async def test_the_upload_of_a_batch_that_is_refused_is_deleted() -> None:
    async with stage() as (backend, fake):
        refused = {"error": {"message": "no", "code": "billing_hard_limit_reached"}}
        fake.answers["create"].append(JSONResponse(refused, 429))
        with pytest.raises(TierMisconfigured) as caught:
            await backend.submit(lines(backend), tag="")
    assert caught.value.code == "spend_limit"
    assert fake.deleted == ["file-0"]


@pytest.mark.parametrize(("what", "status"), [("upload", 500), ("upload", 413), ("retrieve", 529)])
async def test_nothing_is_tried_twice(what: str, status: int) -> None:
    async with stage() as (backend, fake):
        fake.answers[what].append(JSONResponse({"error": {"message": "no"}}, status))
        with pytest.raises(TierError):
            await (
                backend.submit(lines(backend), tag="") if what == "upload" else backend.poll("b")
            )
        assert len(fake.headers) == 1


async def test_a_batch_that_is_not_there() -> None:
    async with stage() as (backend, _):
        for asked in (backend.poll("batch-9"), backend.cancel("batch-9")):
            with pytest.raises(TierMisconfigured) as caught:
                await asked
            assert caught.value.code == "batch_not_found"


@pytest.mark.parametrize("reply", [JSONResponse({"id": "b"}), Response("<html>", 200)])
async def test_an_answer_that_is_no_batch(reply: Response) -> None:
    async with stage() as (backend, fake):
        fake.answers["retrieve"].append(reply)
        with pytest.raises(TierProtocolError):
            await backend.poll("batch-0")


async def test_the_key_of_the_tier_goes_out_and_is_never_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-proj-0123456789abcdef")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    async with stage(api_key_env="MY_KEY") as (backend, fake):
        echo = {"error": {"message": "got sk-proj-0123456789abcdef"}}
        handle = await backend.submit(lines(backend), tag="")
        fake.answers["retrieve"].append(JSONResponse(echo, 500))
        with pytest.raises(TierUnavailable) as caught:
            await backend.poll(handle.id)
        assert "0123" not in str(caught.value)
        fake.finish(handle.id, [done("line-0", echo, 500), done("line-1", echo)])
        for result in (await collected(backend, handle.id)).values():
            assert result.error is not None
            assert "0123" not in result.error.message
    assert {h["authorization"] for h in fake.headers} == {"Bearer sk-proj-0123456789abcdef"}


async def test_without_a_key_none_is_sent() -> None:
    async with stage() as (backend, fake):
        await backend.submit(lines(backend), tag="")
    assert all("authorization" not in h for h in fake.headers)


def test_another_engine_is_named() -> None:
    with pytest.raises(ConfigError, match="not openai"):
        OpenAIBatches(tier(engine()))
