"""A fan-out over two gateways meets one egress replica, where one prefix is written once."""

import asyncio
from collections.abc import Iterator

import pytest
from openai.types.chat import ChatCompletionMessageParam
from openai.types.completion_usage import PromptTokensDetails

from tests.e2e.configs import claude_tier
from tests.ray.stack import RayStack, running

pytest.importorskip("ray", reason="these tests need the extra `ray`")

CALLS = 200
QUESTION = 50
"""Tokens of a question, at most."""
RULES = "Rule book. " + "Answer politely and name the paragraph. " * 150


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayStack]:
    slow = {"time_scale": 1, "ttft_ms": 200, "tokens_per_s": 2_000, "jitter": 0}
    tier = claude_tier("opus", "claude-opus-5-5", **slow)
    config = {"tiers": [tier], "default_task": {"name": "default", "gate": "off"}}
    with running(config, tmp_path_factory.mktemp("ray"), gateways=2, egress=1) as stack:
        yield stack


async def ask_all(stack: RayStack) -> list[PromptTokensDetails]:
    async with stack.async_client(timeout=60) as client:

        async def ask(number: int) -> PromptTokensDetails:
            messages: list[ChatCompletionMessageParam] = [
                {"role": "system", "content": RULES},
                {"role": "user", "content": f"May I return item {number}?"},
            ]
            answer = await client.chat.completions.create(model="opus", messages=messages)
            assert answer.usage is not None
            assert answer.usage.prompt_tokens_details is not None
            return answer.usage.prompt_tokens_details

        return await asyncio.gather(*(ask(i) for i in range(CALLS)))


def test_two_hundred_calls_with_one_cold_prefix_write_it_once(stack: RayStack) -> None:
    found = asyncio.run(ask_all(stack))
    assert len(stack.replicas("gateway")) == 2
    written = [d.cache_write_tokens for d in found if (d.cache_write_tokens or 0) > QUESTION]
    assert len(written) == 1
    read = [d.cached_tokens for d in found if d.cached_tokens]
    assert len(read) == CALLS - 1
    assert len(set(read)) == 1
    assert stack.metric("stepwell_prompt_cache_waits_total", result="late") == 0
