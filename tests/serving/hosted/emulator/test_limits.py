import pytest

from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.limits import RateLimits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_minute_that_is_used_up_is_a_429_until_it_is_over() -> None:
    clock = Clock()
    limits = RateLimits(clock, requests=2, tokens=1_000)
    limits.admit("w")
    limits.admit("w")
    clock.now = 15.5
    with pytest.raises(ApiError) as caught:
        limits.admit("w")
    assert caught.value.status == 429
    assert caught.value.headers["retry-after"] == "45"
    limits.admit("other")
    clock.now = 60.0
    limits.admit("w")


def test_tokens_count_too_and_stand_in_the_headers() -> None:
    limits = RateLimits(Clock(), requests=10, tokens=100)
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
