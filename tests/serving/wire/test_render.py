"""Completions as JSON."""

import json
from typing import Any

import orjson
import pytest

from serving.wire.completion import (
    Choice,
    Completion,
    TokenLogprob,
    ToolCallPart,
    TopLogprob,
    Usage,
)
from serving.wire.render import dumps, finite, render_completion, render_usage, total_usage


def rendered(choice: Choice, top: int | None = None) -> dict[str, Any]:
    completion = Completion("x", 1, "m", (choice,), Usage(1, 2))
    body = render_completion(completion, answer_id="chatcmpl-1", model="small", top_logprobs=top)
    loaded: dict[str, Any] = json.loads(dumps(body))["choices"][0]
    return loaded


def test_a_plain_answer() -> None:
    assert rendered(Choice(content="Hi")) == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_a_tool_call_without_an_id_gets_one() -> None:
    choice = Choice(tool_calls=(ToolCallPart(1, None, "f", "{}"),), finish_reason="tool_calls")
    (call,) = rendered(choice)["message"]["tool_calls"]
    assert call == {
        "id": "call_1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
    }


def test_a_refusal() -> None:
    choice = rendered(Choice(refusal="I can't", finish_reason="content_filter"))
    assert choice["message"]["refusal"] == "I can't"
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "content_filter"


@pytest.mark.parametrize(("top", "shown"), [(None, None), (0, 0), (1, 1), (5, 2)])
def test_alternatives_are_those_asked_for(top: int | None, shown: int | None) -> None:
    token = TokenLogprob("a", -0.5, (TopLogprob("a", -0.5), TopLogprob("b", -1.0)))
    logprobs = rendered(Choice(content="a", logprobs=(token,)), top)["logprobs"]
    if shown is None:
        assert logprobs is None
    else:
        assert logprobs["refusal"] is None
        assert len(logprobs["content"][0]["top_logprobs"]) == shown


def test_a_tier_without_logprobs_gives_none() -> None:
    assert rendered(Choice(content="a"), top=2)["logprobs"] is None


@pytest.mark.parametrize("impossible", [float("-inf"), float("nan"), -1e9])
def test_impossible_tokens_have_openais_number(impossible: float) -> None:
    assert finite(impossible) == -9999.0
    assert finite(-0.25) == -0.25


def test_usage() -> None:
    usage = Usage(100, 20, 60, 30, 10, 5)
    assert render_usage(usage) == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }


def test_an_estimate_says_so() -> None:
    assert render_usage(Usage(1, 1, estimated=True), {"tier": "a"})["stepwell"] == {
        "tier": "a",
        "usage_estimated": True,
    }
    assert "usage_estimated" not in render_usage(Usage(1, 1), {"tier": "a"})["stepwell"]


def test_usages_add_up() -> None:
    total = total_usage([Usage(1, 2, 3, 4, 5, 6), Usage(1, 1, 1, 1, 1, 1, estimated=True)])
    assert total == Usage(2, 3, 4, 5, 6, 7, estimated=True)
    assert total_usage([]) == Usage()


@pytest.mark.parametrize("value", ["\ud83d", {"a": ["x\udc00y"]}, 2**70])
def test_what_is_no_utf8_or_too_large_for_64_bits_leaves_as_it_came(value: object) -> None:
    assert json.loads(dumps(value)) == value


def test_all_else_is_plain_utf8() -> None:
    assert dumps({"a": "é\n"}) == '{"a":"é\\n"}'.encode()
    assert orjson.loads(dumps({"a": None})) == {"a": None}
