"""Calls that belong together meet one egress replica, and a stop loses nothing that was begun."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.configs import claude_tier, mock_tier
from tests.ray.stack import RayStack, running

pytest.importorskip("ray", reason="these tests need the extra `ray`")

PREFIXES = 8


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayStack]:
    slow = mock_tier("slow", time_scale=1, ttft_ms=300, tokens_per_s=30, jitter=0)
    config = {"tiers": [slow, claude_tier("opus", "claude-opus-5-5")]}
    with running(config, tmp_path_factory.mktemp("ray"), gateways=2, egress=2) as stack:
        yield stack


def cached_tokens(stack: RayStack, prefix: int) -> int:
    """Of a call whose system prompt is long enough to be cached, and marked for it."""
    text = f"Rule book {prefix}. " + "Answer politely and name the paragraph. " * 150
    part = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
    messages: list[Any] = [
        {"role": "system", "content": [part]},
        {"role": "user", "content": "May I return it?"},
    ]
    with stack.client(timeout=30) as client:
        answer = client.chat.completions.create(model="opus", messages=messages)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    return answer.usage.prompt_tokens_details.cached_tokens or 0


def test_prefixes_stick_to_a_replica_and_a_stop_drains(stack: RayStack) -> None:
    # Each egress replica has an emulator of its own, with a prompt cache of its own: a second call
    # finds what the first has written only where it meets the same replica.
    # The first two rounds give both gateways time to hear of both replicas.
    for _ in range(2):
        for prefix in range(PREFIXES):
            cached_tokens(stack, prefix)
    again = [cached_tokens(stack, prefix) for prefix in range(PREFIXES)]
    assert min(again) > 500
    assert (len(stack.replicas("egress")), len(stack.replicas("gateway"))) == (2, 2)

    def ask() -> str | None:
        with stack.client(timeout=30) as client:
            question: list[Any] = [{"role": "user", "content": "How do I reset my password?"}]
            answer = client.chat.completions.create(model="slow", messages=question)
        return answer.choices[0].message.content

    with ThreadPoolExecutor() as pool:
        begun = [pool.submit(ask) for _ in range(3)]
        time.sleep(0.7)
        os.kill(stack.server, signal.SIGTERM)
        time.sleep(0.3)
        os.kill(stack.server, signal.SIGINT)  # an impatient Ctrl-C breaks nothing off
        answers = [b.result(30) for b in begun]
    assert all(answers)
    until = time.monotonic() + 30
    query = "SELECT count(*) AS n FROM attempts WHERE tier = 'slow' AND outcome = 'accepted'"
    while stack.rows(query)[0]["n"] < 3 and time.monotonic() < until:
        time.sleep(0.5)
    assert stack.rows(query)[0]["n"] == 3
