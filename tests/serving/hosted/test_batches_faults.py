"""What the batch adapter does when answers are lost, refused or endless."""

import asyncio
import itertools
import json
from contextlib import aclosing
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from serving.batches import (
    BatchResult,
    could_be,
    may_have_arrived,
)
from serving.errors import (
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierTimeout,
    TierUnavailable,
)
from serving.hosted import batches
from serving.hosted.batches import AnthropicBatches
from serving.hosted.emulator.server import EmulatorServer
from tests.serving.hosted.batch_stage import collected, lines, stage
from tests.serving.hosted.fakes import Scripted, answer, tier
from tests.serving.trickling import Trickling


@pytest.mark.parametrize("fault", ["dropped", "malformed"])
async def test_a_submit_whose_answer_is_lost_is_found_again(fault: str) -> None:
    async with stage() as it:
        known = await it.backend.submit(lines(it.backend, 2), tag="")
        began = known.created_at
        it.faulty.next("POST", "/batches", fault)
        with pytest.raises(TierProtocolError) as caught:
            await it.backend.submit(lines(it.backend, 2), tag="")
        assert may_have_arrived(caught.value)
        there = [s async for s in it.backend.list(began)]
        (lost,) = could_be(there, lines=2, tag="", known={known.id})
        await it.api.pass_s(60)
        assert (await collected(it.backend, lost.id)).keys() == {"line-0", "line-1"}


@pytest.mark.parametrize("fault", ["dropped", "truncated", "malformed"])
async def test_results_that_break_off_are_collected_again(fault: str) -> None:
    async with stage() as it:
        handle = await it.backend.submit(lines(it.backend, 6), tag="")
        await it.api.pass_s(60)
        it.faulty.next("GET", "/results", fault)
        found: list[BatchResult] = []

        async def collect() -> None:
            async for result in it.backend.collect(handle.id):
                found.append(result)  # noqa: PERF401 - a comprehension would lose them

        with pytest.raises(TierProtocolError):
            await collect()
        assert len(found) == 3
        assert len(await collected(it.backend, handle.id)) == 6


@pytest.mark.parametrize(
    ("fault", "error"),
    [("500", TierUnavailable), ("529", TierUnavailable), ("spend_limit", TierMisconfigured)],
)
async def test_refusals(fault: str, error: type[TierError]) -> None:
    async with stage() as it:
        handle = await it.backend.submit(lines(it.backend, 1), tag="")
        it.faulty.next("POST", "/batches", fault)
        with pytest.raises(error):
            await it.backend.submit(lines(it.backend, 1), tag="")
        it.faulty.next("GET", handle.id, fault)
        with pytest.raises(error):
            await it.backend.poll(handle.id)
        assert len(it.faulty.asked) == 3  # none was retried


async def test_a_batch_that_is_not_there() -> None:
    async with stage() as it:
        for asked in (it.backend.poll("msgbatch_no"), it.backend.cancel("msgbatch_no")):
            with pytest.raises(TierMisconfigured) as caught:
                await asked
            assert caught.value.code == "batch_not_found"
        with pytest.raises(TierMisconfigured):
            await collected(it.backend, "../../v1/models")


async def test_results_that_are_kept_no_longer() -> None:
    async with stage() as it:
        handle = await it.backend.submit(lines(it.backend, 1), tag="")
        await it.api.pass_s(30 * 86_400)
        with pytest.raises(TierMisconfigured, match="not available"):
            await collected(it.backend, handle.id)


async def test_refused_answers_are_content_filter_here_too() -> None:
    reply = answer(None, refusal="Not that.", finish_reason="content_filter")
    async with stage(backend=Scripted(reply)) as it:
        handle = await it.backend.submit(lines(it.backend, 1), tag="")
        await it.api.pass_s(60)
        (found,) = (await collected(it.backend, handle.id)).values()
    assert found.completion is not None
    assert found.completion.first.finish_reason == "content_filter"


async def test_a_submit_ends_in_its_time_however_slowly_its_answer_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "SUBMIT_S", 0.5)
    server = EmulatorServer(Trickling("/v1/messages/batches"))
    backend = AnthropicBatches(tier(), base_url=await server.start())
    try:
        async with asyncio.timeout(5):
            with pytest.raises(TierTimeout) as caught:
                await backend.submit(lines(backend, 2), tag="")
        assert may_have_arrived(caught.value)
    finally:
        await backend.aclose()
        await server.stop()


class Endless:
    """A batch whose results never end; `left` is set once nobody reads them any more."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        results = scope["path"].endswith("/results")
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if not results:
            body = json.dumps(self.batch()).encode()
            await send({"type": "http.response.body", "body": body})
            return
        gone = asyncio.create_task(self._gone(receive))
        for i in itertools.count():
            if gone.done():
                break
            line = {"custom_id": f"line-{i}", "result": {"type": "expired"}, "pad": "x" * 10_000}
            body = f"{json.dumps(line)}\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        self.left.set()

    async def _gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    def batch(self) -> dict[str, Any]:
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled"), 0)
        date = "2026-10-21T12:00:00Z"
        return {
            "id": "msgbatch_1", "type": "message_batch", "processing_status": "ended",
            "request_counts": {**counts, "expired": 9}, "created_at": date, "expires_at": date,
        }  # fmt: skip


async def test_results_are_handed_on_as_they_come_and_never_held() -> None:
    api = Endless()
    server = EmulatorServer(api)
    backend = AnthropicBatches(tier(), base_url=await server.start())
    try:
        async with aclosing(backend.collect("msgbatch_1")) as results:
            async for result in results:
                if result.custom_id == "line-2000":  # 20 MB on
                    break
        async with asyncio.timeout(5):
            await api.left.wait()
    finally:
        await backend.aclose()
        await server.stop()
