"""Errors, limits, counts and lists as the real SDK raises and reads them."""

from datetime import datetime
from typing import Any

import anthropic
import httpx2
import pytest

from serving.hosted.emulator.clock import Clock
from tests.serving.hosted.emulator.running import MODELS, OLD_SONNET, block, running
from tests.serving.hosted.fakes import OLD_HAIKU, OPUS, Scripted, answer

USER: list[Any] = [{"role": "user", "content": "Hi"}]
both = pytest.mark.parametrize("stream", [False, True])


@both
@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        ("402", anthropic.PaymentRequiredError, "billing_error"),
        ("403", anthropic.PermissionDeniedError, "permission_error"),
        ("404", anthropic.NotFoundError, "not_found_error"),
        ("429", anthropic.RateLimitError, "rate_limit_error"),
        ("429_bare", anthropic.RateLimitError, "rate_limit_error"),
        ("500", anthropic.InternalServerError, "api_error"),
        ("504", anthropic.DeadlineExceededError, "timeout_error"),
        ("529", anthropic.OverloadedError, "overloaded_error"),
    ],
)
async def test_errors_instead_of_an_answer(
    fault: str, error: type[anthropic.APIStatusError], kind: str, stream: bool
) -> None:
    async with running() as to:
        with pytest.raises(error) as caught:
            await to.ask(extra_headers={"x-emulator-fault": fault}, stream=stream)
        assert to.emulator.account.total().requests == 0
    assert caught.value.type == kind
    assert caught.value.request_id is not None


@pytest.mark.parametrize(("fault", "wait"), [("529_retry_after", "1"), ("529", None)])
async def test_overloaded_with_and_without_a_time_to_wait(fault: str, wait: str | None) -> None:
    async with running() as to:
        with pytest.raises(anthropic.OverloadedError) as caught:
            await to.ask(extra_headers={"x-emulator-fault": fault})
    assert caught.value.response.headers.get("retry-after") == wait


@both
async def test_a_connection_that_is_dropped(stream: bool) -> None:
    async def all_of(to: Any) -> None:
        found = await to.ask(stream=stream, extra_headers={"x-emulator-fault": "dropped"})
        if stream:
            async for _ in found:
                pass

    async with running(Scripted(answer("one two three"))) as to:
        with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)):
            await all_of(to)
        assert (await to.ask()).content, "the next one is answered"


async def test_an_error_in_the_midst_of_a_stream_is_the_sdks_error() -> None:
    async with running(Scripted(answer("one two three"))) as to:
        stream: Any = await to.ask(
            stream=True, extra_headers={"x-emulator-fault": "overloaded_midstream"}
        )
        with pytest.raises(anthropic.APIStatusError) as caught:
            async for _ in stream:
                pass
        (bill,) = to.emulator.account.bills()
    assert caught.value.type == "overloaded_error"
    assert bill.outcome == "aborted"


async def test_rate_limits_and_their_headers_go_by_the_emulators_clock() -> None:
    system: list[Any] = [block(2_000, "5m")]
    async with running(requests_per_minute=2, tokens_per_minute=5_000) as to:
        raw = await to.sdk.messages.with_raw_response.create(
            model=OLD_SONNET, max_tokens=9, messages=USER, system=system
        )
        left = {
            name.removeprefix("anthropic-ratelimit-"): value
            for name, value in raw.headers.items()
            if name.startswith("anthropic-ratelimit-")
        }
        await to.ask(system=[block(2_000, "5m")])
        with pytest.raises(anthropic.RateLimitError) as caught:
            await to.ask()
        await to.pass_s(60)
        assert (await to.ask()).content
        shown = to.emulator.clock.date(to.emulator.clock())
    assert (left["requests-limit"], left["requests-remaining"]) == ("2", "1")
    assert left["input-tokens-remaining"] == str(5_000 - 2_003)
    reset = datetime.fromisoformat(left["requests-reset"])
    assert abs((shown - reset).total_seconds()) <= 1
    assert caught.value.response.headers["retry-after"] == "60"
    assert caught.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"


async def test_cache_reads_do_not_count_toward_the_input_limit() -> None:
    async with running(tokens_per_minute=2_020) as to:
        for _ in range(5):
            await to.ask(system=[block(2_000, "5m")])


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
async def test_trap_sampling_parameters_are_refused_everywhere(name: str) -> None:
    async with running() as to:
        with pytest.raises(anthropic.BadRequestError, match=name):
            await to.ask(extra_body={name: 1})
        with pytest.raises(anthropic.BadRequestError, match=name):
            await to.sdk.messages.count_tokens(model=OPUS, messages=USER, extra_body={name: 1})


async def test_tokens_are_counted_as_they_are_billed() -> None:
    """Thinking that comes back is counted where the model sees it, and only there."""
    async with running() as to:
        first = await to.ask(OPUS)
        turns: list[Any] = [*USER, {"role": "assistant", "content": first.content}, *USER]
        for model in (OPUS, OLD_SONNET):
            counted = await to.sdk.messages.count_tokens(model=model, messages=turns)
            billed = await to.ask(model, messages=turns)
            assert counted.input_tokens == billed.usage.input_tokens


async def test_models_come_in_pages() -> None:
    async with running() as to:
        first = await to.sdk.models.list(limit=3)
        assert (len(first.data), first.has_more) == (3, True)
        assert [m.id async for m in to.sdk.models.list(limit=3)] == list(MODELS)
        assert (await to.sdk.models.list(lifecycle=["retired"])).data == []
        one = await to.sdk.models.retrieve(OLD_HAIKU)
    assert one.capabilities is not None
    assert one.capabilities.batch.supported


@pytest.mark.parametrize(("geo", "fine"), [("us", True), ("global", True), ("mars", False)])
async def test_where_inference_runs(geo: str, fine: bool) -> None:
    async with running(clock=Clock()) as to:
        if fine:
            assert (await to.ask(inference_geo=geo)).usage.inference_geo == geo
        else:
            with pytest.raises(anthropic.BadRequestError, match="inference_geo"):
                await to.ask(inference_geo=geo)
