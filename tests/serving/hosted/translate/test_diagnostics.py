"""Cache diagnostics: asked for on the way out, read on the way back."""

from typing import Any

import pytest

from serving.hosted.models import catalog
from serving.hosted.translate.request import Target, to_anthropic
from serving.hosted.translate.response import to_completion
from serving.hosted.translate.stream import StreamTranslator
from tests.serving.hosted.fakes import OPUS, chat

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "model": OPUS,
    "content": [],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 1},
}


def sent(**fields: Any) -> Any:
    return to_anthropic(chat("Hi", **fields), Target(OPUS, 1_000), catalog()).kwargs


@pytest.mark.parametrize("earlier", [None, "msg_0"])
def test_the_question_is_passed_on(earlier: str | None) -> None:
    asked = {"previous_message_id": earlier}
    assert sent(diagnostics=asked)["diagnostics"] == asked


@pytest.mark.parametrize("wrong", [None, "why", {}, {"previous_message_id": 7}, {"odd": 1}])
def test_anything_else_is_not(wrong: Any) -> None:
    assert "diagnostics" not in sent(diagnostics=wrong)


@pytest.mark.parametrize(
    ("diagnostics", "reason"),
    [
        ({"cache_miss_reason": {"type": "system_changed", "cache_missed_input_tokens": 9}},
         "system_changed"),
        ({"cache_miss_reason": None}, None),
        ({}, None),
        (None, None),
    ],
)  # fmt: skip
def test_the_reason_comes_back_whole_and_streamed(diagnostics: Any, reason: str | None) -> None:
    message = MESSAGE | {"diagnostics": diagnostics}
    assert to_completion(message, 0).usage.cache_miss_reason == reason
    translator = StreamTranslator(0)
    translator.feed({"type": "message_start", "message": message})
    translator.feed({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}})
    usage = translator.finish()[-1].usage
    assert usage is not None
    assert usage.cache_miss_reason == reason


def test_a_message_s_breakpoint_stands_once_at_the_end_of_its_turn() -> None:
    use = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    turn = {"role": "assistant", "content": "Let me look.", "tool_calls": [use]}
    kwargs = to_anthropic(
        chat(
            "Hi",
            turn | {"cache_control": {"type": "ephemeral"}},
            {"role": "tool", "tool_call_id": "c1", "content": "Sunny."},
        ),
        Target(OPUS, 1_000),
        catalog(),
    ).kwargs
    marked = [[("cache_control" in b) for b in m["content"]] for m in kwargs["messages"]]
    assert marked == [[False], [False, True], [False]]
