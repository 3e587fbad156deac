"""How answers end and fail: where a status, a header or a stop reason means something else than it
seems.
"""

import time

import pytest

from serving.errors import (
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierUnavailable,
)
from serving.settings.tiers import OutputPolicy
from serving.wire.completion import Chunk
from tests.serving.hosted.emulator.running import running
from tests.serving.hosted.fakes import (
    Scripted,
    adapter,
    answer,
    asked,
    call,
    chat,
    collect,
    weather_tool,
)
from tests.serving.hosted.faulty import Faulty
from tests.serving.hosted.scripted_api import Reply, error, events, message, scripted, streamed

both = pytest.mark.parametrize("stream", [False, True])

STOPS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "pause_turn": "length",
    "refusal": "content_filter",
    "model_context_window_exceeded": "length",
}


@both
@pytest.mark.parametrize(("stop", "finish"), STOPS.items())
async def test_trap_every_stop_reason_has_a_finish_reason(
    stop: str, finish: str, stream: bool
) -> None:
    whole = message(stop=stop)
    reply = Reply(streamed(whole) if stream else whole)
    async with scripted(reply) as api, adapter(api.url) as backend:
        found = await asked(backend, chat("Hi"), call(), stream=stream)
    assert found.first.finish_reason == finish


@both
@pytest.mark.parametrize("stop", STOPS)
async def test_the_emulator_can_end_so_too(stop: str, stream: bool) -> None:
    async with (
        running() as api,
        Faulty.around(api.emulator) as faulty,
        adapter(faulty.url) as backend,
    ):
        if stop != "end_turn":
            faulty.next("POST", "/messages", stop)
        request = chat("Hi", tools=[weather_tool()])
        found = await asked(backend, request, call(), stream=stream)
    assert found.first.finish_reason == STOPS[stop]


@both
@pytest.mark.parametrize(
    ("status", "kind", "ends"),
    [
        (400, "invalid_request_error", TierRejected),
        (401, "authentication_error", TierMisconfigured),
        (402, "billing_error", TierMisconfigured),
        (403, "permission_error", TierMisconfigured),
        (404, "not_found_error", TierMisconfigured),
        (409, "conflict_error", TierUnavailable),
        (413, "request_too_large", TierRejected),
        (429, "rate_limit_error", TierRateLimited),
        (500, "api_error", TierUnavailable),
        (504, "timeout_error", TierUnavailable),
        (529, "overloaded_error", TierUnavailable),
    ],
)
async def test_trap_every_error_is_of_a_kind_as_an_answer_and_in_a_stream(
    status: int, kind: str, ends: type[TierError], stream: bool
) -> None:
    """Within a stream the status was 200 long ago; its type alone says what it is."""
    refused = error(status, kind)
    if stream:
        whole = streamed(message()).split(b"event: message_delta")[0]
        refused = Reply(whole + events(refused.body))
    async with scripted(refused) as api, adapter(api.url) as backend:
        with pytest.raises(TierError) as caught:
            await asked(backend, chat("Hi"), call(), stream=stream)
    assert type(caught.value) is ends
    assert caught.value.retryable == (ends is TierUnavailable)


async def test_trap_errors_arrive_after_a_200_and_what_came_before_is_kept() -> None:
    got: list[Chunk] = []
    async with running(Scripted(answer("one two"))) as api, Faulty.around(api.emulator) as faulty:
        faulty.next("POST", "/messages", "overloaded_midstream")
        async with adapter(faulty.url, "claude-haiku-4-5") as backend:
            with pytest.raises(TierUnavailable):
                await collect(backend, chat("Hi"), call(), got)
    assert "".join(c.content or "" for c in got)


@both
async def test_trap_a_spend_cap_looks_like_a_rate_limit(stream: bool) -> None:
    details = {"error_code": "enforced_spend_limit_reached"}
    refused = error(429, "rate_limit_error")
    refused.body["error"]["details"] = details
    async with scripted(refused) as api, adapter(api.url) as backend:
        with pytest.raises(TierMisconfigured) as caught:
            await asked(backend, chat("Hi"), call(), stream=stream)
    assert (caught.value.code, caught.value.retryable) == ("spend_limit", False)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3600", 3_600.0), ("1e9", 86_400.0), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
async def test_trap_the_sdk_would_sleep_for_as_long_as_it_is_told(
    header: str, seconds: float | None
) -> None:
    refused = error(429, "rate_limit_error", retry_after=header)
    async with scripted(refused) as api, adapter(api.url) as backend:
        began = time.monotonic()
        with pytest.raises(TierRateLimited) as caught:
            await backend.complete(chat("Hi"), call())
    assert time.monotonic() - began < 5
    assert caught.value.retry_after == seconds
    assert len(api.seen) == 1


async def test_trap_the_sdk_refuses_long_answers_that_are_not_streamed() -> None:
    """Beyond 21,333 tokens it would raise before it sends; with a time limit of its own it does
    not.
    """
    limits = OutputPolicy(max_tokens=128_000)
    async with running() as api, adapter(api.url, output=limits) as backend:
        assert (await backend.complete(chat("Hi"), call())).first.content


@both
@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b'{"type": "mess'])
async def test_trap_an_answer_of_the_wrong_type_is_a_string(body: bytes, stream: bool) -> None:
    kind = {"content-type": "text/html"}
    async with scripted(Reply(body, headers=kind)) as api, adapter(api.url) as backend:
        with pytest.raises(TierProtocolError):
            await asked(backend, chat("Hi"), call(), stream=stream)


@pytest.mark.parametrize("status", [502, 503])
async def test_trap_a_proxy_answers_errors_in_its_own_words(status: int) -> None:
    page = Reply(b"<html>" + b"x" * 10_000, status, {"content-type": "text/html"})
    async with scripted(page) as api, adapter(api.url) as backend:
        with pytest.raises(TierUnavailable) as caught:
            await backend.complete(chat("Hi"), call())
    assert len(caught.value.message) < 600


async def test_trap_a_body_over_32_mb_is_a_413_and_no_rejection_of_the_model() -> None:
    async with running() as api, adapter(api.url) as backend:
        with pytest.raises(TierRejected) as caught:
            await backend.complete(chat("x" * 34_000_000), call())
    assert caught.value.code == "request_too_large"


@both
@pytest.mark.parametrize("fault", ["dropped", "truncated", "malformed"])
async def test_trap_an_answer_that_breaks_off_is_no_answer(fault: str, stream: bool) -> None:
    async with running() as api, Faulty.around(api.emulator) as faulty:
        faulty.next("POST", "/messages", fault)
        async with adapter(faulty.url) as backend:
            with pytest.raises(TierProtocolError):
                await asked(backend, chat("Hi"), call(), stream=stream)
