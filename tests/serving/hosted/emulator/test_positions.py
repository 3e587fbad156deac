"""What makes two prefixes the same, and what stays bounded."""

from typing import Any

import pytest

from serving.hosted.emulator.diagnostics import Diagnostics
from serving.hosted.emulator.positions import TokenCounts, positions
from serving.hosted.emulator.prompt_cache import PromptCache
from serving.hosted.emulator.wire import MessagesRequest, Prompt
from serving.hosted.models import catalog
from tests.serving.hosted.emulator.running import OLD_SONNET, block

ABILITY = catalog().ability(OLD_SONNET)
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"a": {}, "b": {}}}}
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": [block(20)]},
    {"role": "assistant", "content": [block(10), {"type": "tool_use", "id": "t", "name": "f",
                                                  "input": {"x": 1}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "5"}]},
]  # fmt: skip


def digests(**fields: Any) -> list[str]:
    base = {"model": OLD_SONNET, "messages": TURNS, "tools": [TOOL], "system": [block(30)]}
    return [row.digest for row in positions(Prompt.model_validate(base | fields), ABILITY)]


def test_equal_prompts_have_equal_digests_and_each_position_its_own() -> None:
    assert digests() == digests()
    assert len(set(digests())) == len(digests()) == 6


def test_how_turns_are_cut_does_not_count() -> None:
    one = [{"role": "user", "content": [block(10), block(20)]}]
    two = [{"role": "user", "content": [block(10)]}, {"role": "user", "content": [block(20)]}]
    assert digests(messages=one) == digests(messages=two)


def test_trap_unsorted_keys_are_another_prefix() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    changed = digests(tools=[TOOL | {"input_schema": schema}])
    assert not set(changed) & set(digests())


def test_who_says_it_counts() -> None:
    said = [block(10)]
    user = [{"role": "user", "content": said}]
    both = [*user, {"role": "assistant", "content": said}]
    twice = [*user, {"role": "user", "content": said}]
    assert digests(messages=both)[:-1] == digests(messages=twice)[:-1]
    assert digests(messages=both)[-1] != digests(messages=twice)[-1]


def test_counting_a_block_once_gives_what_counting_it_anew_gives() -> None:
    counts = TokenCounts(size=3)
    prompt = Prompt.model_validate({"model": OLD_SONNET, "messages": TURNS, "tools": [TOOL]})
    plain = positions(prompt, ABILITY)
    for _ in range(2):
        assert positions(prompt, ABILITY, count=counts) == plain


@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_the_entries_are_bounded(ttl: str) -> None:
    now = [0.0]
    cache = PromptCache(lambda: now[0], size=50)
    for number in range(200):
        text = {"type": "text", "text": f"{number} " * 1_100}
        marked = text | {"cache_control": {"type": "ephemeral", "ttl": ttl}}
        request = {"model": OLD_SONNET, "messages": [{"role": "user", "content": [marked]}]}
        rows = positions(Prompt.model_validate(request), ABILITY)
        plan = cache.plan("w", rows, 1_024)
        assert plan.written
        cache.commit(plan)
    assert cache.size == 50
    now[0] = 3_601.0
    assert cache.size == 0


def test_what_diagnostics_remember_is_bounded() -> None:
    found = Diagnostics(keep=3)
    body = {"model": OLD_SONNET, "max_tokens": 9, "messages": TURNS, "tools": [TOOL]}

    def ask(message_id: str, previous: str | None) -> Any:
        asked = body | {"diagnostics": {"previous_message_id": previous}}
        request = MessagesRequest.model_validate(asked)
        return found.compare(request, "w", positions(request, ABILITY), message_id)

    for number in range(5):
        ask(f"m{number}", None)
    assert ask("n", "m4") is None
    assert ask("o", "m0") == {"cache_miss_reason": {"type": "previous_message_not_found"}}
