"""Chats that fail, are left or come too late."""

import asyncio
from typing import Any

import openai
import pytest

from serving.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NoTierAnswered,
    Overloaded,
    TierMisconfigured,
    TierRateLimited,
    TierRejected,
)
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import chat, serving

MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("raised", "expected", "status", "code"),
    [
        (InvalidRequest("no", param="n"), openai.BadRequestError, 400, None),
        (TierRejected("too long"), openai.BadRequestError, 400, "tier_rejected"),
        (TierRateLimited("slow"), openai.RateLimitError, 429, "tier_rate_limited"),
        (NoTierAnswered("none"), openai.InternalServerError, 502, "no_tier_answered"),
        (Overloaded("full"), openai.InternalServerError, 503, "overloaded"),
        (DeadlineExceeded("late"), openai.InternalServerError, 504, "deadline_exceeded"),
        (ZeroDivisionError("secret"), openai.InternalServerError, 500, "internal_error"),
    ],
)
async def test_errors_reach_the_sdk_as_its_own(
    raised: Exception, expected: type[openai.APIStatusError], status: int, code: str | None
) -> None:
    async with serving(Scripted(steps=[raised])) as server:
        with pytest.raises(expected) as caught:
            await server.sdk().chat.completions.create(model="auto", messages=MESSAGES)
    error = caught.value
    assert error.status_code == status
    assert error.code == code
    assert error.request_id is not None
    assert "secret" not in str(error)
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    assert error.response.headers["x-stepwell-cost-usd"] == "0"


async def test_what_only_the_operator_may_know_stays_here() -> None:
    async with serving(Scripted(steps=[TierMisconfigured("bad key sk-ant-123")])) as server:
        response = await server.post(json=chat())
    assert response.status_code == 502
    assert "sk-ant" not in response.text
    assert response.headers["x-request-id"] in response.text


async def test_a_failed_request_explains_itself_too() -> None:
    backend = Scripted(steps=[NoTierAnswered("none")])
    async with serving(backend) as server:
        response = await server.post(json=chat(stepwell={"explain": True}))
    assert response.status_code == 502
    assert response.json()["stepwell"]["attempts"][0]["outcome"] == "failed"


async def test_retry_after_is_whole_seconds() -> None:
    backend = Scripted(steps=[Overloaded("full", retry_after=1.2)])
    async with serving(backend) as server:
        response = await server.post(json=chat())
    assert response.headers["retry-after"] == "2"


async def test_a_client_that_leaves_stops_the_work() -> None:
    backend = Scripted(steps=[asyncio.Event()])
    async with serving(backend) as server:
        asking = asyncio.create_task(server.post(json=chat()))
        await backend.started.wait()
        asking.cancel()
        await asyncio.wait_for(backend.stopped.wait(), 2)
        metrics = (await server.get("/metrics")).text
    assert backend.running == 0
    assert 'stepwell_requests_total{endpoint="/v1/chat/completions",status="499"} 1.0' in metrics


async def test_a_backend_that_ignores_its_deadline_is_cut() -> None:
    backend = Scripted(steps=[asyncio.Event()])
    async with serving(backend) as server:
        response = await server.post(json=chat(stepwell={"deadline_ms": 1}))
    assert response.status_code == 504
    assert backend.running == 0
