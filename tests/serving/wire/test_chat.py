"""The request's model: what it keeps, and what a hostile body may cost."""

import time
from typing import Any

import pytest
from pydantic import ValidationError

from serving.wire.chat import ChatRequest

BODY: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a", "prompt_cache_breakpoint": {}}]},
        {"role": "assistant", "content": None, "provider_content": {"content": [{"x": 1}]}},
        {"role": "tool", "tool_call_id": "c", "content": "b"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "strict": True}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}}},
    "vendor": {"deep": [1, None]},
    "max_tokens": None,
}


def test_the_body_passes_unchanged() -> None:
    assert ChatRequest.model_validate({**BODY, "stepwell": {"explain": True}}).wire() == BODY


def test_text_of_parts() -> None:
    request = ChatRequest.model_validate(BODY)
    assert request.last_user_text == "a"
    assert request.messages[1].text == ""


@pytest.mark.parametrize("field", ["messages", "tools"])
def test_a_hostile_list_costs_one_error(field: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate({**BODY, field: [1] * 200_000})
    assert caught.value.error_count() == 1
    assert time.perf_counter() - began < 0.05
