"""Batches through the openai SDK, over real HTTP."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest

from serving.backend import Call, ChunkStream
from serving.batch.values import utc_now
from serving.errors import NoTierAnswered, TierRejected
from serving.settings.batch import BatchSettings
from serving.settings.key_hash import digest
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from tests.serving.api.scripted import Scripted
from tests.serving.batch.stack import ended, jsonl, line, results, stack, submit, upload


@dataclass
class ByText:
    """Answers with the question; what `does` raises for it comes instead."""

    does: Callable[[str], None] = lambda text: None
    inner: Scripted = field(default_factory=Scripted)

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        completion = await self.inner.complete(request, call)
        self.does(request.last_user_text)
        return completion

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        return self.inner.stream(request, call)


async def test_a_batch_is_answered_and_its_lines_are_in_one_of_two_files(tmp_path: Path) -> None:
    def refuse(text: str) -> None:
        if text == "bad":
            raise TierRejected("no such thing")

    backend = ByText(refuse)
    async with stack(backend, tmp_path) as s:
        lines = [line(f"l{i}", "bad" if i == 3 else "good") for i in range(20)]
        made = await submit(s.client, lines, metadata={"project": "x"})
        assert (made.status, made.request_counts and made.request_counts.total) == ("validating", 0)
        done = await ended(s.client, made.id)
        assert (done.status, done.errors, done.metadata) == ("completed", None, {"project": "x"})
        assert done.request_counts is not None
        counts = done.request_counts
        assert (counts.total, counts.completed, counts.failed) == (20, 19, 1)
        times = (done.in_progress_at, done.finalizing_at, done.completed_at)
        assert all(at is not None and at >= done.created_at for at in times)
        assert done.usage is not None
        assert done.usage.output_tokens == 3 * 20
        out = await results(s.client, done.output_file_id)
        err = await results(s.client, done.error_file_id)
        assert set(out) == {f"l{i}" for i in range(20)} - {"l3"}
        assert list(err) == ["l3"]
        good = out["l0"]["response"]
        assert (good["status_code"], out["l0"]["error"]) == (200, None)
        assert good["body"]["choices"][0]["message"]["content"] == "Hello world"
        assert good["body"]["id"] == f"chatcmpl-{good['request_id'].removeprefix('req_')}"
        assert err["l3"]["response"]["status_code"] == 400
        assert err["l3"]["response"]["body"]["error"]["code"] == "tier_rejected"
    assert {call.urgency for _, call in backend.inner.asked} == {"offline"}


async def test_the_results_are_a_file_of_their_own(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path) as s:
        made = await submit(s.client, [line("a")])
        done = await ended(s.client, made.id)
        assert done.error_file_id is None
        assert done.output_file_id is not None
        file = await s.client.files.retrieve(done.output_file_id)
        assert (file.purpose, file.filename) == ("batch_output", f"{made.id}_output.jsonl")
        assert file.bytes == len((await s.client.files.content(file.id)).content)
        assert done.model_extra is not None
        added = done.model_extra["stepwell"]
        assert (added["cost_usd"], added["tiers"]) == ("0.0000012", {"small": 1})


async def test_lines_name_tiers_tags_and_validators_as_live_requests_do(tmp_path: Path) -> None:
    backend = Scripted()
    async with stack(backend, tmp_path) as s:
        options = {"feature": "f", "max_tier": "small", "validators": [{"kind": "no_repetition"}]}
        lines = [
            line("a", model="large", metadata={"session": "s"}),
            line("b", model="gpt-4o", stepwell=options),
        ]
        done = await ended(s.client, (await submit(s.client, lines)).id)
        assert done.request_counts is not None
        assert done.request_counts.completed == 2
    calls = {request.model: (request, call) for request, call in backend.asked}
    assert calls["large"][1].session == "s"
    request, call = calls["auto"]
    assert (call.feature, call.max_tier) == ("f", "small")
    assert [v.kind for v in request.options.validators] == ["no_repetition"]


BROKEN: list[tuple[Any, str, str | None]] = [
    ({**line("x"), "custom_id": 7}, "invalid_value", "custom_id"),
    ({k: v for k, v in line("x").items() if k != "custom_id"}, "missing_required_parameter", None),
    ({**line("x"), "method": "GET"}, "invalid_method", "method"),
    ({**line("x"), "url": "/v1/embeddings"}, "invalid_url", "url"),
    ({**line("x"), "more": 1}, "unknown_parameter", "more"),
    (line("x", model="nothing"), "model_not_found", "model"),
    (line("x", stream=True), "invalid_value", "body.stream"),
    (line("x", temperature=9), "invalid_value", "temperature"),
    (line("x", stepwell={"wrong": 1}), "unknown_parameter", "stepwell.wrong"),
    (line("first"), "duplicate_custom_id", "custom_id"),
    ([1, 2], "invalid_json_line", None),
]


async def test_what_is_wrong_with_lines_fails_the_batch_and_is_told_by_line(tmp_path: Path) -> None:
    backend = Scripted()
    async with stack(backend, tmp_path) as s:
        data = jsonl([line("first")]) + b"\n" + jsonl([one for one, _, _ in BROKEN]) + b'{"a": '
        file = await upload(s.client, data)
        made = await s.client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        done = await ended(s.client, made.id)
        assert done.status == "failed"
        assert done.failed_at is not None
        assert done.output_file_id is None
        assert done.errors is not None
        found = [(e.line, e.code) for e in done.errors.data or []]
        # Line 2 is blank, the first is sound.
        expected = [(i + 3, code) for i, (_, code, _) in enumerate(BROKEN)]
        assert found == [*expected, (len(BROKEN) + 3, "invalid_json_line")]
        params = [e.param for e in done.errors.data or []]
        assert all(p in (None, params[i]) for i, (_, _, p) in enumerate(BROKEN))
    assert backend.asked == []


async def test_a_file_beyond_the_limits_fails(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, batch=BatchSettings(max_lines=2, poll_s=0.05)) as s:
        many = await ended(s.client, (await submit(s.client, [line(str(i)) for i in range(3)])).id)
        assert many.errors is not None
        assert [e.code for e in many.errors.data or []] == ["too_many_lines"]
        file = await upload(s.client, b"\n\n")
        made = await s.client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        empty = await ended(s.client, made.id)
        assert empty.errors is not None
        assert [e.code for e in empty.errors.data or []] == ["empty_file"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "999h"}, "completion_window"),
        ({"metadata": {"k" * 65: "v"}}, None),
        ({"metadata": {str(i): "v" for i in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, None),
    ],
)
async def test_what_is_no_batch_is_refused(
    tmp_path: Path, change: dict[str, Any], param: str | None
) -> None:
    async with stack(Scripted(), tmp_path, working=False) as s:
        file = await upload(s.client, jsonl([line("a")]))
        asked: dict[str, Any] = {
            "input_file_id": file.id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        with pytest.raises(openai.BadRequestError) as caught:
            await s.client.batches.create(**{**asked, **change})
        assert param in (None, caught.value.param)
        with pytest.raises(openai.NotFoundError):
            await s.client.batches.create(**{**asked, "input_file_id": "file-none"})


async def test_a_batch_is_cancelled_with_what_it_has(tmp_path: Path) -> None:
    gate = asyncio.Event()
    backend = Scripted(steps=("Hello", gate))
    first = Scripted()

    class Gated(ByText):
        async def complete(self, request: ChatRequest, call: Call) -> Completion:
            chosen = first if request.last_user_text == "now" else backend
            return await chosen.complete(request, call)

    batch = BatchSettings(concurrency=3, poll_s=0.05)
    async with stack(Gated(), tmp_path, batch=batch) as s:
        lines = [line("a", "now"), *(line(f"w{i}", "wait") for i in range(9))]
        made = await submit(s.client, lines)
        async with asyncio.timeout(10):
            while True:
                seen = await s.client.batches.retrieve(made.id)
                if seen.request_counts and seen.request_counts.completed and backend.running == 3:
                    break
                await asyncio.sleep(0.01)
        asked = await s.client.batches.cancel(made.id)
        assert asked.status in ("cancelling", "cancelled")
        done = await ended(s.client, made.id)
        assert (done.status, backend.running) == ("cancelled", 0)
        assert done.cancelled_at is not None
        assert list(await results(s.client, done.output_file_id)) == ["a"]
        err = await results(s.client, done.error_file_id)
        assert set(err) == {f"w{i}" for i in range(9)}
        assert {e["error"]["code"] for e in err.values()} == {"batch_cancelled"}
        assert (await s.client.batches.cancel(made.id)).status == "cancelled"


async def test_what_has_ended_cannot_be_cancelled(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path) as s:
        made = await submit(s.client, [line("a")])
        await ended(s.client, made.id)
        with pytest.raises(openai.BadRequestError, match="completed"):
            await s.client.batches.cancel(made.id)


async def test_a_batch_expires_with_what_it_has(tmp_path: Path) -> None:
    now = utc_now()
    offset = timedelta()

    def clock() -> Any:
        return now + offset

    gate = asyncio.Event()
    backend = Scripted(steps=("Hello", gate))
    async with stack(backend, tmp_path, clock=clock) as s:
        made = await submit(s.client, [line("a"), line("b")])
        await asyncio.wait_for(backend.started.wait(), 10)
        offset = timedelta(hours=24, seconds=1)
        await s.worker._leases.renew()  # the jump of the clock took the lease with it
        done = await ended(s.client, made.id)
        assert done.status == "expired"
        assert done.expired_at is not None
        assert done.output_file_id is None
        err = await results(s.client, done.error_file_id)
        assert {k: e["error"]["code"] for k, e in err.items()} == {
            "a": "batch_expired",
            "b": "batch_expired",
        }


async def test_a_line_that_fails_for_no_fault_of_its_own_is_tried_again(tmp_path: Path) -> None:
    tries = 0

    def fail(text: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise NoTierAnswered("all are down")

    async with stack(ByText(fail), tmp_path) as s:
        done = await ended(s.client, (await submit(s.client, [line("a")])).id)
        assert done.request_counts is not None
        assert (done.request_counts.completed, tries) == (1, 3)


async def test_a_line_that_keeps_failing_ends_with_the_error(tmp_path: Path) -> None:
    def fail(text: str) -> None:
        raise NoTierAnswered("all are down")

    batch = BatchSettings(max_tries=2, poll_s=0.05, retry_s=0.01)
    async with stack(ByText(fail), tmp_path, batch=batch) as s:
        done = await ended(s.client, (await submit(s.client, [line("a")])).id)
        err = await results(s.client, done.error_file_id)
        assert err["a"]["response"]["status_code"] == 502
        assert err["a"]["response"]["body"]["error"]["code"] == "no_tier_answered"


async def test_batches_are_listed_newest_first_with_cursors(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, working=False) as s:
        file = await upload(s.client, jsonl([line("a")]))
        made = [
            await s.client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            for _ in range(5)
        ]
        found = [batch.id async for batch in s.client.batches.list(limit=2)]
        assert found == [batch.id for batch in reversed(made)]
        with pytest.raises(openai.BadRequestError):
            await s.client.batches.list(after="batch_none")
        with pytest.raises(openai.BadRequestError):
            await s.client.batches.list(limit=101)


async def test_a_tenant_has_so_many_open_batches(tmp_path: Path) -> None:
    batch = BatchSettings(max_tenant_batches=1)
    async with stack(Scripted(), tmp_path, working=False, batch=batch) as s:
        await submit(s.client, [line("a")])
        with pytest.raises(openai.RateLimitError):
            await submit(s.client, [line("a")])


OTHER = "sw-test-other-0123456789-abcdefghijklmnopqr"


def keys(**limits: Any) -> list[dict[str, Any]]:
    from tests.serving.api.server import KEY

    return [
        {"id": "one", "tenant": "one", "hash": digest(KEY), "limits": limits},
        {"id": "two", "tenant": "two", "hash": digest(OTHER)},
    ]


async def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, keys=keys()) as s:
        mine, other = s.client, s.server.sdk(OTHER)
        made = await submit(mine, [line("a")])
        done = await ended(mine, made.id)
        assert done.output_file_id is not None
        for refused in (
            lambda: other.batches.retrieve(made.id),
            lambda: other.batches.cancel(made.id),
            lambda: other.files.retrieve(made.input_file_id),
            lambda: other.files.content(str(done.output_file_id)),
            lambda: other.files.delete(made.input_file_id),
            lambda: other.batches.create(
                input_file_id=made.input_file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
            ),
        ):
            with pytest.raises(openai.NotFoundError):
                await refused()
        assert [b.id async for b in other.batches.list()] == []
        assert [f.id async for f in other.files.list()] == []


async def test_the_key_s_limits_hold_in_batches(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, keys=keys(max_tier="small")) as s:
        done = await ended(s.client, (await submit(s.client, [line("a", model="large")])).id)
        assert done.status == "failed"
        assert done.errors is not None
        assert [(e.line, e.param) for e in done.errors.data or []] == [(1, "model")]
