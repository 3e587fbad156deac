"""What the engine does when clients leave, or are too many."""

import asyncio
import time
from typing import Any

import openai

from tests.engine.conftest import KEYS
from tests.ray.stack import RayStack

ASK: list[Any] = [{"role": "user", "content": "Where is my order?"}]
STREAMS, LEAVING = 100, 50
FREED_S = 10.0


def in_engine(stack: RayStack, tier: str = "local-small") -> float:
    return stack.metric("stepwell_engine_requests", tier=tier)


async def endless(client: openai.AsyncOpenAI, tier: str = "local-small") -> Any:
    return await client.chat.completions.create(
        model=tier,
        messages=ASK,
        max_tokens=3_900,
        stream=True,
        extra_body={"ignore_eos": True},
    )


async def until(stack: RayStack, count: int) -> None:
    """Long before their answers would have ended, the engine holds so few sequences."""
    deadline = time.monotonic() + FREED_S
    while (found := await asyncio.to_thread(in_engine, stack)) > count:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


async def test_who_leaves_frees_a_place(stack: RayStack) -> None:
    async with stack.async_client(KEYS["acme"], timeout=120) as client:
        streams = await asyncio.gather(*(endless(client) for _ in range(STREAMS)))
        firsts = await asyncio.gather(*(anext(s) for s in streams))
        assert len(firsts) == STREAMS
        assert await asyncio.to_thread(in_engine, stack) == STREAMS
        await asyncio.gather(*(s.close() for s in streams[:LEAVING]))
        await until(stack, STREAMS - LEAVING)
        assert (await anext(streams[-1])).choices  # who stays is served on
        await asyncio.gather(*(s.close() for s in streams[LEAVING:]))
        await until(stack, 0)


async def test_a_full_queue(stack: RayStack) -> None:
    """Two run and one waits at `local-large`; whoever else asks for it by name is told to wait."""
    async with stack.async_client(KEYS["acme"], timeout=120) as client:
        held = [await endless(client, "local-large") for _ in range(2)]
        for stream in held:
            await anext(stream)
        asked = {asyncio.create_task(endless(client, "local-large")) for _ in range(3)}
        refused: set[asyncio.Task[Any]] = set()
        while len(refused) < 2:
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            refused |= done
        for task in refused:
            error = task.exception()
            assert isinstance(error, openai.APIStatusError)
            assert error.status_code == 503
            assert "at its limit" in error.message
            assert float(error.response.headers["retry-after"]) > 0
        for stream in held:
            await stream.close()
        served = await asked.pop()
        assert (await anext(served)).choices
        await served.close()
