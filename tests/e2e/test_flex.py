"""`service_tier: "flex"` on chats and responses, as the `openai` SDK asks for it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.configs import claude_tier, ladder, mock_tier
from tests.e2e.stack import Stack, running

SLOW = {"time_scale": 1, "ttft_ms": 500, "tokens_per_s": 5_000, "jitter": 0}
LIMITS = {"max_concurrent": 1, "queue_timeout_s": 0.05}
ASK: list[Any] = [{"role": "user", "content": "How do I reset the password of my account?"}]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    narrow = {**mock_tier("narrow", **SLOW), "limits": LIMITS}
    tasks = [{"name": "urgent", "gate": "off", "flex": "climb"}]
    tiers = [narrow, claude_tier("sonnet", "claude-sonnet-5-5")]
    config = ladder(tiers=tiers, tasks=tasks, limits={"max_concurrent": 8})
    with running(config, tmp_path_factory.mktemp("flex")) as running_stack:
        yield running_stack


def chat(client: openai.AsyncOpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="auto", messages=ASK, **more)


async def test_it_waits_where_others_climb(stack: Stack) -> None:
    async with stack.async_client(timeout=30) as client:
        first = asyncio.create_task(chat(client))
        await asyncio.sleep(0.2)
        flex = [asyncio.create_task(chat(client, service_tier="flex")) for _ in range(2)]
        await asyncio.sleep(0.1)
        hurried = await chat(client)
        waited = await asyncio.gather(*flex)
    assert (await first).model == "narrow"
    assert hurried.model == "sonnet"
    assert hurried.service_tier is None
    assert [(w.model, w.service_tier) for w in waited] == [("narrow", "flex")] * 2
    rows = stack.rows("SELECT service, tier FROM attempts WHERE service <> 'live'")
    assert [tuple(row.values()) for row in rows] == [("flex", "narrow")] * 2


async def test_at_its_deadline_there_was_no_room(stack: Stack) -> None:
    hurry = {"stepwell": {"deadline_ms": 400}}
    async with stack.async_client(timeout=30) as client:
        held = [asyncio.create_task(chat(client, service_tier="flex")) for _ in range(3)]
        await asyncio.sleep(0.2)
        with pytest.raises(openai.RateLimitError) as caught:
            await chat(client, service_tier="flex", extra_body=hurry)
        assert caught.value.code == "resource_unavailable"
        await asyncio.gather(*held)


async def test_a_task_may_climb_instead(stack: Stack) -> None:
    task = {"stepwell": {"task": "urgent", "deadline_ms": 1_000}}
    async with stack.async_client(timeout=30) as client:
        held = [asyncio.create_task(chat(client, service_tier="flex")) for _ in range(3)]
        await asyncio.sleep(0.2)
        found = await chat(client, service_tier="flex", extra_body=task)
        assert (found.model, found.service_tier) == ("sonnet", "flex")
        await asyncio.gather(*held)


async def test_streams_and_responses_say_so_too(stack: Stack) -> None:
    async with stack.async_client(timeout=30) as client:
        stream = await chat(client, service_tier="flex", stream=True)
        told = {chunk.service_tier async for chunk in stream}
        found = await client.responses.create(model="auto", input="Hi", service_tier="flex")
        plain = await client.responses.create(model="auto", input="Hi", service_tier="priority")
    assert told == {"flex"}
    assert found.service_tier == "flex"
    assert plain.service_tier == "default"


async def test_those_that_wait_leave_room_for_others(stack: Stack) -> None:
    async with stack.async_client(timeout=30) as client:
        waiting = [asyncio.create_task(chat(client, service_tier="flex")) for _ in range(4)]
        await asyncio.sleep(0.2)
        with pytest.raises(openai.RateLimitError) as caught:
            await chat(client, service_tier="flex")
        assert caught.value.code == "resource_unavailable"
        assert (await chat(client)).model
        await asyncio.gather(*waiting)
