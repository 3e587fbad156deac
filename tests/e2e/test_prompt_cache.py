"""Prompt caching as a client of the gateway sees it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.configs import claude_tier
from tests.e2e.stack import Stack, running

SHORT = 100
"""Tokens of a question, at most."""

RULES = "You help customers. " + "Answer politely and name the paragraph. " * 250


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    tiers = [
        claude_tier("haiku", "claude-haiku-4-5"),
        claude_tier("opus", "claude-opus-4-8"),
    ]
    tiers[1]["backend"]["prompt_cache"] = {"move_volatile": True}
    config: dict[str, Any] = {"tiers": tiers, "default_task": {"name": "default", "gate": "off"}}
    folder: Path = tmp_path_factory.mktemp("prompt_cache")
    with running(config, folder) as stack:
        yield stack


def ask(stack: Stack, tier: str, system: str, number: int) -> tuple[int, int, dict[str, str]]:
    """Tokens read and written, and what the planner said by what it decided."""
    with stack.client() as client:
        answer = client.chat.completions.create(
            model=tier,
            messages=[
                {"role": "system", "content": system},
                {"role": "user", "content": f"May I return item {number}?"},
            ],
            extra_body={"stepwell": {"explain": True}},
        )
    assert answer.usage is not None
    details = answer.usage.prompt_tokens_details
    assert details is not None
    assert answer.model_extra is not None
    decisions = answer.model_extra["stepwell"]["decisions"]
    told = {d["decision"]: d["reason"] for d in decisions if d["stage"] == "prompt_cache"}
    return details.cached_tokens or 0, details.cache_write_tokens or 0, told


def test_a_shared_prefix_is_written_once_and_read_from_then_on(stack: Stack) -> None:
    calls = [ask(stack, "opus", RULES, i) for i in range(6)]
    written = [write for _, write, _ in calls if write > SHORT]
    assert len(written) == 1
    assert all(0 <= written[0] - read < SHORT for read, _, _ in calls[1:])
    read, _, told = calls[-1]
    assert any(d.startswith("breakpoints: ") and "system[0]" in d for d in told), told
    assert told["hit"].startswith(f"read {read:,} and wrote ")


def test_what_haiku_does_not_store_is_paid_in_full_and_said(stack: Stack) -> None:
    for i in range(3):
        read, write, told = ask(stack, "haiku", RULES, i)
        assert (read, write) == (0, 0)
        assert "fewer than the 4,096 that claude-haiku-4-5 stores" in told["no breakpoint"]


def test_a_timestamp_is_moved_out_of_the_way(stack: Stack) -> None:
    for i in range(12):
        system = f"Printed at 10:0{i % 10}:{i:02}.\n{RULES}"
        read, _, told = ask(stack, "opus", system, i)
    assert read > 1_000
    assert "moved to the end of the system prompt" in told["timestamp"]


def test_metrics_say_what_became_of_the_plans(stack: Stack) -> None:
    ask(stack, "haiku", RULES, 1)
    lines = httpx2.get(f"{stack.url}/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("stepwell_prompt_cache_calls_total")]
    assert any('tier="haiku"' in line and 'outcome="too_short"' in line for line in found)
