import pytest

from serving.hosted.emulator.clock import Clock
from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.limits import RateLimits


def limited(requests: int, tokens: int) -> tuple[Clock, RateLimits]:
    clock = Clock(movable=True, running=False, source=lambda: 0.0)
    return clock, RateLimits(clock, clock.date, requests, tokens)


async def test_a_minute_that_is_used_up_is_a_429_until_it_is_over() -> None:
    clock, limits = limited(requests=2, tokens=1_000)
    limits.admit("w")
    limits.admit("w")
    await clock.advance(15.5)
    with pytest.raises(ApiError) as caught:
        limits.admit("w")
    assert caught.value.status == 429
    assert caught.value.headers["retry-after"] == "45"
    limits.admit("other")
    await clock.advance(44.5)
    limits.admit("w")


def test_tokens_count_too_and_stand_in_the_headers() -> None:
    _, limits = limited(requests=10, tokens=100)
    limits.admit("w")
    limits.count("w", input_tokens=70, output_tokens=20)
    headers = limits.headers("w")
    assert headers["anthropic-ratelimit-requests-remaining"] == "9"
    assert headers["anthropic-ratelimit-input-tokens-remaining"] == "30"
    assert headers["anthropic-ratelimit-output-tokens-remaining"] == "80"
    assert headers["anthropic-ratelimit-tokens-limit"] == "100"
    assert headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
    limits.count("w", input_tokens=30)
    with pytest.raises(ApiError):
        limits.admit("w")
