import copy
from typing import Any

import pytest

from serving.errors import TierRejected
from serving.hosted.models import catalog
from serving.hosted.translate.request import JSON_OBJECT, Target, Translated, to_anthropic
from serving.wire.chat import ChatRequest
from tests.serving.hosted.fakes import HAIKU, OLD_HAIKU, OPUS, SONNET_5, chat, weather_tool

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}},
    "required": ["n"],
}


def translate(
    request: ChatRequest, model: str = OPUS, *, max_tokens: int = 1_000, effort: str | None = None
) -> Translated:
    before = copy.deepcopy(request)
    found = to_anthropic(request, Target(model, max_tokens, effort), catalog())
    assert request == before
    return found


def test_a_plain_request() -> None:
    room = catalog().thinking_room["medium"]
    assert translate(chat("Hi")) == Translated(
        {
            "model": OPUS,
            "max_tokens": 1_000 + room,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        }
    )


def test_sampling_parameters_never_reach_the_model() -> None:
    kwargs = translate(chat(temperature=0.2, top_p=0.9, seed=1, logprobs=True, n=1)).kwargs
    assert kwargs.keys() == {"model", "max_tokens", "messages"}


@pytest.mark.parametrize(
    ("fields", "model", "limit"),
    [
        ({"max_tokens": 50}, SONNET_5, 50 + 16_384),
        ({"max_completion_tokens": 50, "reasoning_effort": "none"}, SONNET_5, 50),
        ({"max_tokens": 9_999, "reasoning_effort": "none"}, SONNET_5, 1_000),
        ({"reasoning_effort": "max"}, OLD_HAIKU, 1_000 + 16_384),
    ],
)
def test_thinking_has_room_above_the_answers_limit(
    fields: dict[str, Any], model: str, limit: int
) -> None:
    assert translate(chat(**fields), model).kwargs["max_tokens"] == limit


def test_the_models_own_limit_holds() -> None:
    found = translate(chat(), max_tokens=1_000_000)
    assert found.kwargs["max_tokens"] == 128_000


def test_the_tiers_effort_holds_where_the_request_names_none() -> None:
    assert translate(chat(), effort="low").kwargs["output_config"] == {"effort": "low"}
    found = translate(chat(reasoning_effort="high"), effort="low")
    assert found.kwargs["output_config"] == {"effort": "high"}


def test_trap_12463_json_schema_stands_beside_tools_and_is_no_forced_tool() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    found = translate(chat(response_format=wanted, tools=[weather_tool()], stream=True))
    assert found.kwargs["output_config"]["format"]["type"] == "json_schema"
    assert found.kwargs["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert [t["name"] for t in found.kwargs["tools"]] == ["weather"]
    assert "tool_choice" not in found.kwargs
    assert found.notes == ("response_format: #/properties/n/minimum became a description",)


def test_a_schema_that_claude_cannot_hold_is_refused_by_keyword() -> None:
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object", "additionalProperties": True}},
    }
    with pytest.raises(TierRejected, match="additionalProperties") as caught:
        translate(chat(response_format=wanted))
    assert caught.value.param == "response_format"


def test_json_object_is_asked_for_behind_the_cached_system_prompt() -> None:
    system = {"role": "system", "content": "S", "cache_control": {"type": "ephemeral"}}
    found = translate(chat(system, "Hi", response_format={"type": "json_object"}))
    first, last = found.kwargs["system"]
    assert first["cache_control"] == {"type": "ephemeral"}
    assert last == {"type": "text", "text": JSON_OBJECT}


def test_stop_sequences_need_a_visible_character() -> None:
    found = translate(chat(stop=["\n\n", "END", " ", "END"]))
    assert found.kwargs["stop_sequences"] == ["END"]
    assert found.dropped == ("stop[0]", "stop[2]")
    assert "stop_sequences" not in translate(chat(stop="\n")).kwargs


def test_the_user_is_metadata_and_a_long_one_is_hashed() -> None:
    assert translate(chat(user="u-1")).kwargs["metadata"] == {"user_id": "u-1"}
    assert translate(chat(safety_identifier="u-2")).kwargs["metadata"] == {"user_id": "u-2"}
    for long in ("u" * 300, "half a pair \ud83d" * 100):
        assert len(translate(chat(user=long)).kwargs["metadata"]["user_id"]) == 64


def test_names_of_speakers_are_dropped_and_said_so() -> None:
    found = translate(chat({"role": "user", "name": "Ann", "content": "Hi"}))
    assert found.dropped == ("messages.name",)


def test_breakpoints_over_the_limit_are_dropped_and_said_so() -> None:
    parts = [
        {"type": "text", "text": str(i), "cache_control": {"type": "ephemeral"}} for i in range(6)
    ]
    found = translate(chat({"role": "user", "content": parts}))
    assert found.dropped == ("cache_control",)


def test_automatic_caching_is_passed_on() -> None:
    found = translate(chat(cache_control={"type": "ephemeral", "ttl": "1h"}))
    assert found.kwargs["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert "cache_control" not in translate(chat(cache_control={"type": "other"})).kwargs


def test_a_forced_tool_and_a_budget() -> None:
    request = chat(tools=[weather_tool()], tool_choice="required", reasoning_effort="high")
    found = translate(request, OLD_HAIKU)
    assert found.kwargs["tool_choice"] == {"type": "any"}
    assert "thinking" not in found.kwargs
    assert translate(request, HAIKU).kwargs["output_config"] == {"effort": "high"}
