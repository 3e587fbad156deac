"""A batch's life, through the real SDK, on a clock that the test moves."""

import asyncio
from collections.abc import Iterable
from typing import Any

import anthropic
import pytest
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

from serving.hosted.emulator.batches.store import EXPIRES_S, KEPT_S
from serving.hosted.emulator.clock import Clock
from serving.settings.emulator import EmulatorBatches
from tests.serving.hosted.emulator.running import OLD_SONNET, Running, running
from tests.serving.hosted.fakes import OPUS, Scripted, answer

FAST = EmulatorBatches(delay_s=10, requests_per_s=5, cancel_s=3, cache_share=1)
SLOW = EmulatorBatches(delay_s=0, requests_per_s=1 / 3_601, cache_share=1)


def requests(count: int, **params: Any) -> list[Any]:
    base = {
        "model": OLD_SONNET,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    return [{"custom_id": f"r-{i}", "params": base | params} for i in range(count)]


async def results(of: Running, batch: str) -> dict[str, MessageBatchIndividualResponse]:
    stream = await of.sdk.messages.batches.results(batch)
    return {line.custom_id: line async for line in stream}


def counts(batch: MessageBatch) -> dict[str, int]:
    return {k: v for k, v in batch.request_counts.to_dict().items() if isinstance(v, int) and v}


def kinds(found: Iterable[MessageBatchIndividualResponse]) -> list[str]:
    return [line.result.type for line in found]


async def test_a_batch_from_its_beginning_to_its_results() -> None:
    async with running(Scripted(answer("Paris.")), batches=FAST) as to:
        batches = to.sdk.messages.batches
        made = await batches.create(requests=requests(12))
        assert made.id.startswith("msgbatch_")
        assert (made.processing_status, counts(made)) == ("in_progress", {"processing": 12})
        assert (made.ended_at, made.results_url) == (None, None)
        assert (made.expires_at - made.created_at).total_seconds() == EXPIRES_S
        await to.pass_s(11.9)  # ten of twelve are done, and nothing says so
        half = await batches.retrieve(made.id)
        assert (half.processing_status, counts(half)) == ("in_progress", {"processing": 12})
        await to.pass_s(0.1)
        ended = await batches.retrieve(made.id)
        assert (ended.processing_status, counts(ended)) == ("ended", {"succeeded": 12})
        assert ended.ended_at is not None
        assert (ended.ended_at - made.created_at).total_seconds() == 12
        found = await results(to, made.id)
    assert set(found) == {f"r-{i}" for i in range(12)}
    assert list(found) != [f"r-{i}" for i in range(12)], "results come in no order"
    for line in found.values():
        assert line.result.type == "succeeded"
        message = line.result.message
        assert message.usage.service_tier == "batch"
        assert [b.type for b in message.content] == ["text"]
        assert message.stop_reason == "end_turn"


async def test_results_before_the_end_are_not_to_be_had() -> None:
    async with running(batches=FAST) as to:
        made = await to.sdk.messages.batches.create(requests=requests(1))
        with pytest.raises(anthropic.AnthropicError, match="finished processing"):
            await results(to, made.id)
        asked = await to.http("GET", f"/v1/messages/batches/{made.id}/results")
        assert asked.status_code == 404


async def test_bad_params_surface_at_the_end_with_the_whole_envelope() -> None:
    bad: dict[str, dict[str, Any]] = {
        "sampling": {"temperature": 0.5},
        "model": {"model": "claude-0"},
        "stream": {"stream": True},
        "prewarm": {"max_tokens": 0},
        "empty": {"messages": []},
        "good": {},
    }
    sent: list[Any] = [
        {**requests(1, **params)[0], "custom_id": name} for name, params in bad.items()
    ]
    async with running(batches=FAST) as to:
        made = await to.sdk.messages.batches.create(requests=sent)
        assert counts(made) == {"processing": 6}
        await to.pass_s(60)
        ended = await to.sdk.messages.batches.retrieve(made.id)
        found = await results(to, made.id)
        billed = to.emulator.account.total()
    assert counts(ended) == {"succeeded": 1, "errored": 5}
    errors = {}
    for name, line in found.items():
        if line.result.type == "errored":
            envelope = line.result.error
            assert envelope.type == "error"
            assert envelope.request_id is not None
            errors[name] = (envelope.error.type, envelope.error.message)
    assert errors["sampling"] == (
        "invalid_request_error",
        "temperature: Extra inputs are not permitted",
    )
    assert errors["model"] == ("not_found_error", "model: claude-0")
    assert "stream" in errors["stream"][1]
    assert "max_tokens" in errors["prewarm"][1]
    assert billed.requests == 1, "what errored is not billed"


async def test_cancelling_ends_what_has_not_been_done() -> None:
    async with running(batches=FAST) as to:
        batches = to.sdk.messages.batches
        made = await batches.create(requests=requests(20))
        await to.pass_s(11)  # two slices of five
        canceling = await batches.cancel(made.id)
        assert canceling.processing_status == "canceling"
        assert canceling.cancel_initiated_at is not None
        assert counts(canceling) == {"processing": 20}
        assert (await batches.cancel(made.id)).processing_status == "canceling"
        with pytest.raises(anthropic.BadRequestError, match="being processed"):
            await batches.delete(made.id)
        await to.pass_s(3)
        ended = await batches.retrieve(made.id)
        assert (ended.processing_status, counts(ended)) == (
            "ended",
            {"succeeded": 10, "canceled": 10},
        )
        found = await results(to, made.id)
        with pytest.raises(anthropic.BadRequestError, match="has ended"):
            await batches.cancel(made.id)
        billed = to.emulator.account.total().requests
    assert sorted(kinds(found.values())) == ["canceled"] * 10 + ["succeeded"] * 10
    assert billed == 10


async def test_what_is_not_done_in_a_day_expires() -> None:
    async with running(batches=SLOW) as to:
        made = await to.sdk.messages.batches.create(requests=requests(30))
        await to.pass_s(EXPIRES_S - 1)
        assert (await to.sdk.messages.batches.retrieve(made.id)).processing_status == "in_progress"
        await to.pass_s(1)
        ended = await to.sdk.messages.batches.retrieve(made.id)
        assert ended.ended_at == ended.expires_at
        assert counts(ended) == {"succeeded": 24, "expired": 6}
        found = await results(to, made.id)
        assert to.emulator.account.total().requests == 24
    assert kinds(found.values()).count("expired") == 6


async def test_results_are_kept_for_29_days() -> None:
    async with running(batches=FAST) as to:
        made = await to.sdk.messages.batches.create(requests=requests(3))
        await to.pass_s(KEPT_S - 1)
        assert len(await results(to, made.id)) == 3
        await to.pass_s(1)
        gone = await to.sdk.messages.batches.retrieve(made.id)
        assert (gone.processing_status, gone.results_url) == ("ended", None)
        assert gone.archived_at is not None
        assert (gone.archived_at - gone.created_at).total_seconds() == KEPT_S
        with pytest.raises(anthropic.AnthropicError, match="results_url"):
            await results(to, made.id)
        asked = await to.http("GET", f"/v1/messages/batches/{made.id}/results")
    assert asked.status_code == 404


async def test_deleting() -> None:
    async with running(batches=FAST) as to:
        made = await to.sdk.messages.batches.create(requests=requests(1))
        await to.pass_s(60)
        deleted = await to.sdk.messages.batches.delete(made.id)
        assert (deleted.id, deleted.type) == (made.id, "message_batch_deleted")
        with pytest.raises(anthropic.NotFoundError):
            await to.sdk.messages.batches.retrieve(made.id)


async def test_the_list_comes_in_pages_the_newest_first() -> None:
    async with running(batches=FAST) as to:
        batches = to.sdk.messages.batches
        made = [(await batches.create(requests=requests(1))).id for _ in range(5)]
        newest = made[::-1]
        first = await batches.list(limit=2)
        assert ([b.id for b in first.data], first.has_more) == (newest[:2], True)
        assert [b.id async for b in batches.list(limit=2)] == newest
        behind = await batches.list(after_id=newest[3])
        assert ([b.id for b in behind.data], behind.has_more) == (newest[4:], False)
        ahead = await batches.list(before_id=newest[3], limit=2)
        assert ([b.id for b in ahead.data], ahead.has_more) == (newest[1:3], True)
        with pytest.raises(anthropic.NotFoundError):
            await batches.list(after_id="msgbatch_no")


async def test_another_keys_batches_are_not_seen() -> None:
    async with running(batches=FAST) as to, to.client("other") as other:
        made = await to.sdk.messages.batches.create(requests=requests(1))
        assert (await other.messages.batches.list()).data == []
        for act in ("retrieve", "cancel", "delete"):
            with pytest.raises(anthropic.NotFoundError):
                await getattr(other.messages.batches, act)(made.id)
        await to.pass_s(60)
        response = await to.http(
            "GET", f"/v1/messages/batches/{made.id}/results", headers={"x-api-key": "other"}
        )
    assert response.status_code == 404


async def test_on_a_running_clock_a_batch_ends_by_itself() -> None:
    soon = EmulatorBatches(delay_s=0.05, requests_per_s=1_000)
    async with running(batches=soon, clock=Clock()) as to, asyncio.timeout(10):
        made = await to.sdk.messages.batches.create(requests=requests(20, model=OPUS))
        batch = made
        while batch.processing_status != "ended":
            batch = await to.sdk.messages.batches.retrieve(made.id)
    assert counts(batch) == {"succeeded": 20}
