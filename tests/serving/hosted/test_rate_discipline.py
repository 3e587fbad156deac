"""The adapter and its guard keep to what the API says is left, and ask once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serving.allowance import Allowance
from serving.engines.guard.guard import Guard
from serving.engines.guard.pace import Pace
from serving.errors import (
    StepwellError,
    TierError,
    TierMisconfigured,
    TierPaused,
    TierRateLimited,
    TierTimeout,
    TierUnavailable,
)
from serving.hosted.anthropic import Anthropic
from serving.settings.tiers import TierLimits
from tests.serving.hosted.emulator.running import running
from tests.serving.hosted.fakes import asked, call, chat, collect, tier
from tests.serving.hosted.faulty import Faulty
from tests.serving.hosted.scripted_api import Reply, error, message, scripted, streamed

both = pytest.mark.parametrize("stream", [False, True])
HOUR = 3_600


class Heard:
    def __init__(self) -> None:
        self.allowances: list[tuple[Allowance, ...]] = []
        self.ages: list[float] = []

    def __call__(self, found: tuple[Allowance, ...], age_s: float) -> None:
        self.allowances.append(found)
        self.ages.append(age_s)


@asynccontextmanager
async def guarded(url: str, pace: Pace | None = None, **limits: Any) -> AsyncIterator[Guard]:
    pace = pace or Pace()
    chosen = tier(limits=TierLimits.model_validate(limits), deadline_s=5.0)
    backend = Anthropic(chosen, base_url=url, report=pace.report)
    try:
        yield Guard(backend, chosen, pace=pace)
    finally:
        await backend.aclose()


async def ending(asked: Awaitable[object]) -> Exception | None:
    try:
        await asked
    except TierError as error:
        return error
    return None


@both
async def test_what_the_api_says_is_left_is_reported(stream: bool) -> None:
    heard = Heard()
    async with running(requests_per_minute=50, tokens_per_minute=9_000) as api:
        backend = Anthropic(tier(), base_url=api.url, report=heard)
        await asked(backend, chat("Hi"), call(), stream=stream)
        await backend.aclose()
    (found,) = heard.allowances
    assert [(a.unit, a.limit) for a in found] == [
        ("calls", 50),
        ("input_tokens", 9_000),
        ("output_tokens", 9_000),
        ("tokens", 9_000),
    ]
    assert found[0].remaining == 49
    assert 0 < found[0].reset_s <= 60
    assert 0 < heard.ages[0] < 5


@both
async def test_refusals_say_what_is_left_too(stream: bool) -> None:
    heard = Heard()
    left = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2099-01-01T00:00:00Z",
    }
    refused = error(429, "rate_limit_error", **{k.replace("-", "_"): v for k, v in left.items()})
    async with scripted(refused) as api:
        backend = Anthropic(tier(), base_url=api.url, report=heard)
        with pytest.raises(TierRateLimited):
            await asked(backend, chat("Hi"), call(), stream=stream)
        await backend.aclose()
    assert heard.allowances == [(Allowance("calls", 50, 0, 60.0),)]


async def test_a_limit_is_used_up_and_never_run_into() -> None:
    """Ten calls a minute are allowed and thirty wanted: ten are answered, and no other leaves."""
    async with (
        running(requests_per_minute=10) as api,
        Faulty.around(api.emulator) as seen,
        guarded(seen.url, queue_timeout_s=0.05) as guard,
    ):
        ended = [await ending(guard.complete(chat("Hi"), call())) for _ in range(30)]
        paused = [e for e in ended if isinstance(e, TierPaused)]
        assert (ended.count(None), len(paused), len(seen.asked)) == (10, 20, 10)
        assert all(30 < (e.retry_after or 0) <= 60 for e in paused)


async def test_calls_at_once_stop_at_the_limit_as_well() -> None:
    async with (
        running(requests_per_minute=40) as api,
        Faulty.around(api.emulator) as seen,
        guarded(seen.url, queue_timeout_s=0.5, start_concurrent=4, max_concurrent=4) as guard,
    ):
        calls = [guard.complete(chat("Hi"), call()) for _ in range(80)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert TierRateLimited not in {type(e) for e in ended}  # the API refused none
        assert 10 < len(seen.asked) <= 40


@both
async def test_a_spend_cap_is_neither_retried_nor_asked_again_for_a_while(stream: bool) -> None:
    async with (
        running() as api,
        Faulty.around(api.emulator) as seen,
        guarded(seen.url) as guard,
    ):
        seen.next("POST", "/messages", "spend_limit")
        codes = []
        for _ in range(3):
            with pytest.raises(TierMisconfigured, match="spend limit") as caught:
                await (
                    collect(guard, chat("Hi"), call())  # type: ignore[arg-type] # a Backend
                    if stream
                    else guard.complete(chat("Hi"), call())
                )
            assert not caught.value.retryable
            codes.append(caught.value.code)
        assert codes == ["spend_limit"] * 3
        assert len(seen.asked) == 1
        assert 50 < guard.state.pause_s <= 60


ENDS: list[tuple[Reply, type[StepwellError] | None]] = [
    (Reply(message()), None),
    (error(408, "timeout_error"), TierUnavailable),
    (error(409, "conflict_error"), TierUnavailable),
    (error(429, "rate_limit_error", retry_after=HOUR), TierRateLimited),
    (error(500, "api_error", x_should_retry="true"), TierUnavailable),
    (error(503, "api_error", retry_after_ms=1), TierUnavailable),
    (error(529, "overloaded_error", retry_after=HOUR), TierUnavailable),
]


@both
@pytest.mark.parametrize(("reply", "ends"), ENDS)
async def test_a_call_is_one_request_whatever_comes(
    reply: Reply, ends: type[TierError] | None, stream: bool
) -> None:
    """The SDK would ask up to three times, and sleep for an hour where it is told so."""
    if stream and ends is None:
        reply = Reply(streamed(message()))
    async with scripted(reply) as api:
        backend = Anthropic(tier(), base_url=api.url)
        began = time.monotonic()
        ended = await ending(asked(backend, chat("Hi"), call(), stream=stream))
        assert (None if ended is None else type(ended)) is ends
        assert time.monotonic() - began < 5
        await backend.aclose()
        assert len(api.seen) == 1


async def test_a_call_that_takes_long_is_not_sent_a_second_time() -> None:
    """It is billed whether or not another one answers first."""
    async with scripted(Reply(message(), wait_s=0.6)) as api, guarded(api.url) as guard:
        assert (await guard.complete(chat("Hi"), call())).first.content == "Yes."
        with pytest.raises(TierTimeout):
            await guard.complete(chat("Hi"), call(0.3))
        assert (len(api.seen), api.most) == (2, 1)
