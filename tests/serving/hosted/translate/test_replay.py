import copy
from typing import Any

import pytest

from serving.hosted.translate.messages import conversation
from serving.hosted.translate.replay import replayed
from serving.wire.chat import Message

BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "cmVk"},
    {"type": "text", "text": "Looking "},
    {"type": "text", "text": "it up."},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
]


def turn(**changes: Any) -> Message:
    function = {"name": "f", "arguments": '{ "a": 1 }'}
    body = {
        "role": "assistant",
        "content": "Looking it up.",
        "tool_calls": [{"id": "toolu_1", "type": "function", "function": function}],
        "provider_content": {"provider": "anthropic", "model": "m", "content": BLOCKS},
    }
    return Message.model_validate(body | changes)


def test_a_turn_goes_back_as_claude_wrote_it() -> None:
    found = replayed(turn(), thinking=True)
    assert found == BLOCKS
    assert found is not BLOCKS


def test_thinking_can_be_left_out() -> None:
    assert replayed(turn(), thinking=False) == BLOCKS[2:]


def test_the_replayed_turn_stands_in_the_conversation_with_its_breakpoint() -> None:
    messages = [
        Message(role="user", content="q"),
        turn(cache_control={"type": "ephemeral"}),
        Message(role="tool", tool_call_id="toolu_1", content="2"),
    ]
    found = conversation(messages, mid_system=True, prefill=False)
    *before, last = found.messages[1]["content"]
    assert before == BLOCKS[:-1]
    assert last == BLOCKS[-1] | {"cache_control": {"type": "ephemeral"}}
    assert "cache_control" not in BLOCKS[-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"content": "Something else."},
        {"tool_calls": None},
        {"provider_content": {"provider": "other", "content": BLOCKS}},
        {"provider_content": {"provider": "anthropic", "content": "text"}},
        {"provider_content": {"provider": "anthropic"}},
        {"provider_content": None},
    ],
)
def test_an_edited_turn_is_built_from_the_message(changes: dict[str, Any]) -> None:
    assert replayed(turn(**changes), thinking=True) is None


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_result", "tool_use_id": "x"},
        {"type": "image", "source": {}},
        {"type": "thinking", "thinking": "no signature"},
        {"type": ["text"]},
        {"type": "text", "text": 3},
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        "text",
    ],
)
def test_blocks_that_claude_does_not_write_are_not_passed_on(block: Any) -> None:
    content = [*copy.deepcopy(BLOCKS), block]
    carried = {"provider": "anthropic", "content": content}
    assert replayed(turn(provider_content=carried), thinking=True) is None
