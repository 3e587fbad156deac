from typing import Any

import pytest

from serving.errors import InvalidRequest, TierRejected
from serving.hosted.models import catalog
from serving.hosted.translate.tools import tool_choice, tools
from tests.serving.hosted.fakes import HAIKU, OPUS, SONNET, chat, weather_tool

NAMED = {"type": "function", "function": {"name": "weather"}}


def choice(model: str = HAIKU, **fields: Any) -> Any:
    request = chat(tools=[weather_tool()], **fields)
    return tool_choice(request, catalog().ability(model), defined=True)


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": NAMED}, {"type": "tool", "name": "weather"}),
        (
            {"parallel_tool_calls": False},
            {"type": "auto", "disable_parallel_tool_use": True},
        ),
        (
            {"tool_choice": "required", "parallel_tool_calls": True},
            {"type": "any", "disable_parallel_tool_use": False},
        ),
    ],
)
def test_required_is_any_named_is_tool_and_parallel_is_inverted(
    fields: dict[str, Any], sent: Any
) -> None:
    assert choice(**fields) == sent


@pytest.mark.parametrize("model", [OPUS, SONNET, "claude-opus-6"])
@pytest.mark.parametrize("wanted", ["required", NAMED])
def test_a_model_that_cannot_be_forced_refuses(model: str, wanted: Any) -> None:
    with pytest.raises(TierRejected) as caught:
        choice(model, tool_choice=wanted)
    assert caught.value.code == "forced_tool_choice"
    assert choice(model, tool_choice="none") == {"type": "none"}


def test_required_without_tools_contradicts_itself() -> None:
    with pytest.raises(InvalidRequest, match="needs tools"):
        tool_choice(chat(tool_choice="required"), catalog().ability(HAIKU), defined=False)


def test_a_tool_with_its_breakpoint() -> None:
    tool = weather_tool() | {"cache_control": {"type": "ephemeral"}}
    ((made,), dropped) = tools(chat(tools=[tool]), ())
    assert made == {
        "name": "weather",
        "description": "The weather.",
        "input_schema": tool["function"]["parameters"],
        "cache_control": {"type": "ephemeral"},
    }
    assert dropped == ()


def test_no_parameters_are_an_empty_object() -> None:
    ((made,), _) = tools(chat(tools=[weather_tool(parameters=None)]), ())
    assert made["input_schema"] == {"type": "object", "properties": {}}


def test_strict_closes_the_schema_or_is_dropped_by_name() -> None:
    loose = {"type": "object", "properties": {"any": {}}}
    made, dropped = tools(
        chat(
            tools=[weather_tool(strict=True), weather_tool(name="b", strict=True, parameters=loose)]
        ),
        (),
    )
    assert made[0]["strict"] is True
    assert made[0]["input_schema"]["additionalProperties"] is False
    assert "strict" not in made[1]
    assert made[1]["input_schema"] == loose
    assert dropped == ("tools.1.function.strict",)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "custom", "custom": {"name": "x"}},
        weather_tool(parameters={"type": "array"}),
        weather_tool(parameters={"anyOf": [{"type": "object"}]}),
    ],
)
def test_tools_that_claude_cannot_take(tool: dict[str, Any]) -> None:
    with pytest.raises(TierRejected):
        tools(chat(tools=[tool]), ())


def test_two_tools_of_one_name() -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        tools(chat(tools=[weather_tool(), weather_tool()]), ())


def test_a_history_of_calls_without_tools_gets_bare_ones_that_are_not_called() -> None:
    made, _ = tools(chat(), ("weather",))
    assert [t["name"] for t in made] == ["weather"]
    assert tool_choice(chat(), catalog().ability(OPUS), defined=True) == {"type": "none"}
