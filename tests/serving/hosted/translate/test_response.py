from typing import Any

import pytest

from serving.errors import TierProtocolError
from serving.hosted.translate.response import DECLINED, to_completion
from serving.wire.completion import Completion, ToolCallPart, Usage

USAGE: dict[str, Any] = {"input_tokens": 10, "output_tokens": 5}


def completion(*content: dict[str, Any], stop: Any = "end_turn", **more: Any) -> Completion:
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5",
        "content": list(content), "stop_reason": stop, "usage": USAGE,
    }  # fmt: skip
    return to_completion(message | more, 1_700_000_000)


def text(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


def test_text() -> None:
    found = completion(text("Hello "), text("there."))
    assert (found.id, found.created, found.model) == ("msg_1", 1_700_000_000, "claude-opus-5-5")
    assert found.first.content == "Hello there."
    assert found.first.provider_content is None
    assert found.usage == Usage(prompt_tokens=10, completion_tokens=5)


def test_blocks_are_told_apart_by_type_not_by_place() -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": "é"}}
    found = completion(thinking, text("Let me look."), use, stop="tool_use").first
    assert found.reasoning == "Hm."
    assert found.content == "Let me look."
    assert found.tool_calls == (ToolCallPart(0, "toolu_1", "f", '{"a":"é"}'),)
    assert found.finish_reason == "tool_calls"
    assert found.provider_content == {
        "provider": "anthropic",
        "model": "claude-opus-5-5",
        "content": [thinking, text("Let me look."), use],
    }


@pytest.mark.parametrize(
    "block",
    [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        text("cited", citations=[{"type": "char_location"}]),
    ],
)
def test_blocks_that_openai_has_no_place_for_are_kept_whole(block: dict[str, Any]) -> None:
    found = completion(block, text("Hi")).first
    assert found.provider_content is not None
    assert found.provider_content["content"][0] == block


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_every_stop_reason(stop: str, finish: str) -> None:
    assert completion(text("x"), stop=stop).first.finish_reason == finish


@pytest.mark.parametrize(
    ("details", "refusal"),
    [
        (None, DECLINED),
        ({"type": "refusal", "category": "bio", "explanation": None}, f"{DECLINED} (bio)"),
        ({"type": "refusal", "category": None, "explanation": "No."}, "No."),
    ],
)
def test_trap_23899_a_refusal_is_a_content_filter_and_no_ordinary_stop(
    details: Any, refusal: str
) -> None:
    found = completion(stop="refusal", stop_details=details).first
    assert found.finish_reason == "content_filter"
    assert found.refusal == refusal
    assert found.content is None


def test_traps_9812_29432_cache_writes_are_counted_once_and_split_by_lifetime() -> None:
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 1_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 20},
    }
    assert completion(text("x"), usage=usage).usage == Usage(
        prompt_tokens=1_103,
        completion_tokens=50,
        cached_tokens=1_000,
        cache_write_tokens=100,
        cache_write_1h_tokens=60,
        reasoning_tokens=20,
    )


def test_counts_that_are_null_are_nothing() -> None:
    usage = USAGE | {
        "cache_creation_input_tokens": None,
        "cache_creation": None,
        "output_tokens_details": None,
    }
    assert completion(text("x"), usage=usage).usage == Usage(prompt_tokens=10, completion_tokens=5)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"id": "m", "model": "m", "usage": USAGE, "stop_reason": "end_turn", "content": None},
        {"id": "m", "model": "m", "usage": USAGE, "stop_reason": None, "content": []},
        {"id": "m", "model": "m", "usage": None, "stop_reason": "end_turn", "content": []},
        {"id": "m", "model": "m", "usage": USAGE, "stop_reason": "end_turn", "content": [{}]},
    ],
)
def test_a_body_that_is_no_message(message: dict[str, Any]) -> None:
    with pytest.raises(TierProtocolError):
        to_completion(message, 0)
