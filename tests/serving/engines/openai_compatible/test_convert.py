import math
from typing import Any

import pytest

from serving.engines.openai_compatible.convert import completion
from serving.errors import TierProtocolError
from serving.wire.completion import Choice, Completion, ToolCallPart
from tests.serving.engines.helpers import ask
from tests.serving.engines.openai_compatible.fake import answer


def converted(data: dict[str, Any]) -> Completion:
    return completion("local", "asked-model", data, ask())


def choice(finish: str | None = "stop", **message: Any) -> Choice:
    return converted(answer(message.pop("content", "x"), finish, **message)).first


@pytest.mark.parametrize(
    ("given", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("MAX_TOKENS", "length"),
        ("tool_use", "tool_calls"),
        ("eos_token", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons(given: str | None, finish: str) -> None:
    assert choice(given).finish_reason == finish


def test_a_call_without_a_finish_reason_is_one() -> None:
    called = {"function": {"name": "f", "arguments": {"a": [1]}}}
    found = choice(None, content=None, tool_calls=[called, called])
    assert found.finish_reason == "tool_calls"
    assert [c.index for c in found.tool_calls] == [0, 1]
    assert found.tool_calls[0].arguments == '{"a": [1]}'
    assert len({c.id for c in found.tool_calls}) == 2


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_answers_that_were_given_up(reason: str) -> None:
    with pytest.raises(TierProtocolError, match=reason):
        choice(reason)


def test_content_in_parts() -> None:
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    assert choice(content=parts).content == "ab"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning(name: str) -> None:
    assert choice(**{name: "hm"}).reasoning == "hm"


def test_message_fields_that_we_do_not_know_are_kept_for_the_next_turn() -> None:
    found = choice(annotations=[], audio=None, reasoning_details=[{"signature": "s"}])
    assert found.provider_content == {
        "provider": "openai",
        "model": "asked-model",
        "content": [{"reasoning_details": [{"signature": "s"}]}],
    }
    assert choice(annotations=[]).provider_content is None


def test_what_servers_leave_out() -> None:
    found = converted({"choices": [{"message": {"content": "x"}}]})
    assert found.id.startswith("chatcmpl-")
    assert found.model == "asked-model"
    assert found.created > 1_700_000_000
    assert found.usage.estimated


@pytest.mark.parametrize("usage", [{}, {"total_tokens": 4}, {"prompt_tokens": None}])
def test_a_usage_that_says_nothing_is_estimated(usage: dict[str, Any]) -> None:
    assert converted({**answer("x"), "usage": usage}).usage.estimated


def test_logprobs_are_finite_and_not_above_zero() -> None:
    data = answer("abc")
    values = [0.0001, -math.inf, math.nan]
    tokens = [{"token": t, "logprob": v} for t, v in zip("abc", values, strict=True)]
    data["choices"][0]["logprobs"] = {"content": tokens}
    found = converted(data).first.logprobs
    assert found is not None
    assert [t.logprob for t in found] == [0.0, -9999.0, -9999.0]
    data["choices"][0]["logprobs"] = {"content": []}
    assert converted(data).first.logprobs is None


def test_an_estimate_counts_logprobs_where_there_are_any() -> None:
    data = {**answer("abc"), "usage": None}
    tokens = [{"token": t, "logprob": -0.1} for t in "abc"]
    data["choices"][0]["logprobs"] = {"content": tokens}
    assert converted(data).usage.completion_tokens == 3


def test_several_choices() -> None:
    data = answer("a")
    data["choices"].append({"index": 1, "message": {"content": "b"}, "finish_reason": "length"})
    assert [(c.index, c.content) for c in converted(data).choices] == [(0, "a"), (1, "b")]


def test_errors_name_the_place_and_never_the_content() -> None:
    data = answer("x")
    data["choices"][0]["message"]["refusal"] = {"secret": "prompt"}
    with pytest.raises(TierProtocolError) as caught:
        converted(data)
    assert "choices.0.message.refusal" in caught.value.message
    assert "prompt" not in caught.value.message


def test_tool_call_parts() -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": None}}
    assert choice(tool_calls=[called]).tool_calls == (ToolCallPart(0, "c1", "f", ""),)
