"""What goes wrong around batches, as the real SDK meets it."""

import asyncio
import json
from collections.abc import AsyncGenerator

import anthropic
import httpx2
import pytest

from serving.backend import Call
from serving.errors import TierUnavailable
from serving.hosted.emulator.batches.shape import MAX_BYTES
from serving.settings.emulator import EmulatorBatches
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk
from tests.serving.hosted.emulator.batches.test_life_cycle import FAST, counts, requests, results
from tests.serving.hosted.emulator.running import OLD_SONNET, Running, running
from tests.serving.hosted.fakes import Scripted


def fault(kind: str) -> dict[str, str]:
    return {"x-emulator-fault": kind}


async def test_a_submission_whose_answer_is_lost_was_accepted() -> None:
    """The ambiguous submit: the client sees a broken connection, the batch runs."""
    async with running(batches=FAST) as to:
        with pytest.raises(anthropic.APIConnectionError) as caught:
            await to.sdk.messages.batches.create(
                requests=requests(3), extra_headers=fault("dropped")
            )
        assert isinstance(caught.value.__cause__, httpx2.RemoteProtocolError)
        (found,) = (await to.sdk.messages.batches.list()).data
        await to.pass_s(60)
        ended = await to.sdk.messages.batches.retrieve(found.id)
    assert counts(ended) == {"succeeded": 3}


@pytest.mark.parametrize(
    ("kind", "error", "accepted"),
    [
        ("529", anthropic.OverloadedError, False),
        ("429", anthropic.RateLimitError, False),
        ("500", anthropic.InternalServerError, False),
        ("spend_limit", anthropic.RateLimitError, False),
    ],
)
async def test_a_submission_that_is_refused_made_nothing(
    kind: str, error: type[Exception], accepted: bool
) -> None:
    async with running(batches=FAST) as to:
        with pytest.raises(error):
            await to.sdk.messages.batches.create(requests=requests(1), extra_headers=fault(kind))
        assert bool((await to.sdk.messages.batches.list()).data) is accepted


@pytest.mark.parametrize("kind", ["404", "500", "529", "429_bare", "dropped"])
async def test_a_poll_that_fails_changes_nothing(kind: str) -> None:
    async with running(batches=FAST) as to:
        made = await to.sdk.messages.batches.create(requests=requests(2))
        with pytest.raises((anthropic.APIStatusError, anthropic.APIConnectionError)):
            await to.sdk.messages.batches.retrieve(made.id, extra_headers=fault(kind))
        await to.pass_s(60)
        ended = await to.sdk.messages.batches.retrieve(made.id)
    assert ended.processing_status == "ended"


async def test_shares_of_faults_reach_polls_too() -> None:
    async with running(batches=FAST, faults={"529": 0.3}, seed=3) as to:
        headers = fault("slow")  # a named one keeps the drawn ones away
        made = await to.sdk.messages.batches.create(requests=requests(1), extra_headers=headers)
        failed = 0
        for _ in range(100):
            try:
                await to.sdk.messages.batches.retrieve(made.id)
            except anthropic.OverloadedError:
                failed += 1
    assert 15 <= failed <= 45


async def fetched(to: Running, batch: str, kind: str) -> httpx2.Response:
    return await to.http("GET", f"/v1/messages/batches/{batch}/results", headers=fault(kind))


async def test_results_that_break_off() -> None:
    async with running(batches=FAST) as to:
        made = await to.sdk.messages.batches.create(requests=requests(10))
        await to.pass_s(60)
        short = await fetched(to, made.id, "truncated")
        assert len(short.content.splitlines()) == 5
        with pytest.raises(httpx2.RemoteProtocolError):
            await fetched(to, made.id, "dropped")
        broken = (await fetched(to, made.id, "malformed")).content.splitlines()
        with pytest.raises(json.JSONDecodeError):
            json.loads(broken[-1])
        assert len(await results(to, made.id)) == 10, "they can be fetched again"


async def test_shares_of_requests_that_fail() -> None:
    rules = FAST.model_copy(update={"requests_per_s": 1_000.0, "errored": 0.2, "expired": 0.1})
    async with running(batches=rules, seed=1) as to:
        made = await to.sdk.messages.batches.create(requests=requests(200))
        await to.pass_s(60)
        ended = await to.sdk.messages.batches.retrieve(made.id)
        found = await results(to, made.id)
        billed = to.emulator.account.total().requests
    split = counts(ended)
    assert sum(split.values()) == 200
    assert 25 <= split["errored"] <= 55
    assert 8 <= split["expired"] <= 35
    assert billed == split["succeeded"], "what errored or expired is not billed"
    for line in found.values():
        if line.result.type == "errored":
            assert line.result.error.error.type == "api_error"


async def test_a_single_batch_can_be_told_to_fail() -> None:
    async with running(batches=FAST) as to:
        headers = {"x-emulator-batch": "errored=0.5, expired=0.5"}
        made = await to.sdk.messages.batches.create(requests=requests(10), extra_headers=headers)
        other = await to.sdk.messages.batches.create(requests=requests(3))
        await to.pass_s(60)
        failed = counts(await to.sdk.messages.batches.retrieve(made.id))
        assert set(failed) == {"errored", "expired"}
        assert counts(await to.sdk.messages.batches.retrieve(other.id)) == {"succeeded": 3}
        for wrong in ("errored=2", "errored=x", "lost=0.1", "errored=-1,expired=1"):
            with pytest.raises(anthropic.BadRequestError, match="x-emulator-batch"):
                await to.sdk.messages.batches.create(
                    requests=requests(1), extra_headers={"x-emulator-batch": wrong}
                )


async def test_a_stop_reason_for_all_its_answers() -> None:
    async with running(batches=FAST) as to:
        made = await to.sdk.messages.batches.create(
            requests=requests(2), extra_headers=fault("refusal")
        )
        await to.pass_s(60)
        found = await results(to, made.id)
    for line in found.values():
        assert line.result.type == "succeeded"
        assert line.result.message.stop_reason == "refusal"


class Broken(Scripted):
    """Fails as no backend should."""

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[Chunk, None]:
        yield Chunk("", 0, "", content="half an answer")
        raise KeyError("a bug")


@pytest.mark.parametrize(
    ("backend", "kind"),
    [(Scripted(TierUnavailable("down")), "overloaded_error"), (Broken(), "api_error")],
)
async def test_a_model_that_fails_is_an_errored_result(backend: Scripted, kind: str) -> None:
    async with running({OLD_SONNET: Scripted()}, batch_answer={OLD_SONNET: backend}) as to:
        made = await to.sdk.messages.batches.create(requests=requests(2))
        await to.pass_s(60)
        found = await results(to, made.id)
        assert to.emulator.account.total().requests == 0
    for line in found.values():
        assert line.result.type == "errored"
        assert line.result.error.error.type == kind


async def test_a_batch_may_have_more_bytes_than_a_message_and_no_more_than_its_own_limit() -> None:
    rules = EmulatorBatches(delay_s=3_600)
    long = [{"role": "user", "content": "word " * 200_000}]
    async with running(batches=rules) as to:
        sent = requests(33, messages=long)
        assert (await to.sdk.messages.batches.create(requests=sent)).request_counts.processing == 33
        head = f"POST /v1/messages/batches HTTP/1.1\r\nhost: x\r\ncontent-length: {MAX_BYTES + 1}"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(to.url.rsplit(":", 1)[1]))
        writer.write(f"{head}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
        await writer.wait_closed()
