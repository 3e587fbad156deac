"""What a client is told about a body that breaks the model."""

import time
from typing import Any

import pytest

from serving.api.validation import parse_as
from serving.errors import InvalidRequest
from serving.wire.chat import ChatRequest

GOOD: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}


def fault(**change: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse_as(ChatRequest, {**GOOD, **change})
    return caught.value


@pytest.mark.parametrize(
    ("change", "param", "code", "said"),
    [
        ({"messages": []}, "messages", "invalid_value", "at least 1 item"),
        ({"messages": "x"}, "messages", "invalid_type", "valid list"),
        (
            {"messages": [{"role": "usr", "content": "x"}]},
            "messages.0.role",
            "invalid_value",
            "'system', 'developer', 'user'",
        ),
        (
            {"messages": [{"content": "x"}]},
            "messages.0.role",
            "missing_required_parameter",
            "Missing required parameter: 'messages.0.role'.",
        ),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages.0.content",
            "invalid_type",
            "valid string or: input should be a valid list",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages.0.content.0",
            "invalid_value",
            "needs 'text'",
        ),
        ({"messages": [{"role": "user"}]}, "messages.0", "invalid_value", "needs 'content'"),
        (
            {"tools": [{"type": "function", "function": {"name": "no spaces"}}]},
            "tools.0.function.name",
            "invalid_value",
            "pattern",
        ),
        ({"tool_choice": "always"}, "tool_choice", "invalid_value", "'none', 'auto' or 'required'"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function", None, "Missing"),
        ({"temperature": 3}, "temperature", "invalid_value", "less than or equal to 2"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value", "greater than or equal to 1"),
        ({"stop": ["a"] * 5}, "stop", "invalid_value", "at most 4"),
        ({"top_logprobs": 2}, None, "invalid_value", "top_logprobs needs logprobs"),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format",
            "invalid_value",
            "needs 'json_schema'",
        ),
        ({"stepwell": {"explian": True}}, "stepwell.explian", "unknown_parameter", "explain"),
        (
            {"stepwell": {"validators": [{"kind": "regex"}]}},
            "stepwell.validators.0.pattern",
            "missing_required_parameter",
            "Missing",
        ),
        (
            {"stepwell": {"validators": [{"kind": "magic"}]}},
            "stepwell.validators.0",
            "invalid_value",
            "'json_schema'",
        ),
    ],
)
def test_the_field_at_fault_and_what_it_allows(
    change: dict[str, Any], param: str | None, code: str | None, said: str
) -> None:
    error = fault(**change)
    assert error.param == param
    assert code is None or error.code == code
    assert said in error.message
    assert error.status == 400


def test_a_missing_model_is_named() -> None:
    with pytest.raises(InvalidRequest, match="'model'"):
        parse_as(ChatRequest, {"messages": GOOD["messages"]})


def test_what_the_client_wrote_is_not_repeated() -> None:
    secret = "my secret prompt"
    error = fault(messages=[{"role": secret, "content": [{"type": "text", "text": {"a": secret}}]}])
    assert secret not in error.message


def test_a_long_name_makes_no_long_error() -> None:
    error = fault(stepwell={"x" * 100_000: 1})
    assert error.param is not None
    assert len(error.param) <= 200
    assert len(error.message) < 1_000


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": [{"type": "text"}] * 60}] * 1_000},
        {"messages": [{"role": "user", "content": [1] * 190_000}]},
        {"messages": [1] * 190_000},
        {"tools": [1] * 190_000},
        {"stop": [1] * 190_000},
    ],
)
def test_many_faults_cost_no_more_than_one(change: dict[str, Any]) -> None:
    began = time.perf_counter()
    fault(**change)
    assert time.perf_counter() - began < 0.05
