"""Requests per minute of a key."""

import asyncio

import openai
import pytest

from serving.api.auth import Caller
from serving.api.rate_limits import RateLimits, RateState
from serving.settings.keys import KeyLimits
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import KEY, chat, serving
from tests.serving.api.test_auth import key

BEARER = {"authorization": f"Bearer {KEY}"}


def caller(name: str | None, per_minute: int | None) -> Caller:
    limits = KeyLimits(requests_per_minute=per_minute)
    return Caller("t", name, frozenset({"chat"}), limits)


def test_keys_are_counted_apart() -> None:
    limits = RateLimits()
    states = [limits.hit(caller(name, 2)) for name in ("a", "a", "a", "b")]
    assert [(s.allowed, s.remaining) for s in states if s] == [
        (True, 1),
        (True, 0),
        (False, 0),
        (True, 1),
    ]
    refused = states[2]
    assert refused is not None
    assert 59 < refused.reset_s <= 60


def test_no_limit_no_count() -> None:
    assert RateLimits().hit(caller("a", None)) is None
    assert RateLimits().hit(caller(None, 1)) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.2501, "251ms"), (1, "1s"), (59.2, "1m0s"), (61, "1m1s")]
)
def test_spans_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert RateState(True, 1, 0, seconds).headers["x-ratelimit-reset-requests"] == text


async def test_the_client_is_told() -> None:
    limited = key(limits={"requests_per_minute": 1})
    async with serving(Scripted(), keys=[limited]) as server:
        first = await server.post(json=chat(), headers=BEARER)
        with pytest.raises(openai.RateLimitError) as caught:
            await server.sdk(KEY).chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "x"}]
            )
        listed = await server.get("/v1/models", headers=BEARER)
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    headers = caught.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 60
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert caught.value.code == "rate_limit_exceeded"
    assert listed.status_code == 200  # only what may cost something is counted


async def test_a_keys_own_concurrency_and_everybodys() -> None:
    hold = asyncio.Event()
    backend = Scripted(steps=[hold])
    one = key(limits={"max_concurrent": 1})
    other = KEY + "2"
    async with serving(
        backend, keys=[one, key("k2", other)], limits={"max_concurrent": 2}
    ) as server:
        running = [asyncio.create_task(server.post(json=chat(), headers=BEARER))]
        await backend.started.wait()
        own = await server.post(json=chat(), headers=BEARER)
        backend.started.clear()
        second = {"authorization": f"Bearer {other}"}
        running.append(asyncio.create_task(server.post(json=chat(stream=True), headers=second)))
        await backend.started.wait()
        everybody = await server.post(json=chat(), headers=second)
        hold.set()
        done = await asyncio.gather(*running)
        after = await server.post(json=chat(), headers=BEARER)
    assert own.status_code == 429
    assert own.json()["error"]["code"] == "concurrency_limit_exceeded"
    assert everybody.status_code == 503
    assert everybody.headers["retry-after"] == "1"
    assert [r.status_code for r in (*done, after)] == [200, 200, 200]
