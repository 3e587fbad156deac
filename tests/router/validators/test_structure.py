"""JSON, JSON Schema and tool arguments."""

from typing import Any

import pytest

from router.validators.answer import MAX_CHARS
from router.validators.base import Validators
from serving.errors import InvalidRequest
from serving.wire.completion import ToolCallPart
from tests.router.validators.asking import ask, spec, tool, tool_call, verdict

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [tool("weather", CITY), tool("now")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1}', None),
        (' \n {"a": [1, null]} \n', None),
        ("[1]", None),
        ("3", None),
        ('```json\n{"a": 1}\n```', "json inside a code fence"),
        ('Here you go: {"a": 1}', "not one JSON value (line 1, column 1)"),
        ('{"a": 1} {"b": 2}', "not one JSON value (line 1, column 10)"),
        ('{"a": 1}.', "not one JSON value (line 1, column 9)"),
        ('{"a": 1,}', "not one JSON value (line 1, column 8)"),
        ("{'a': 1}", "not one JSON value (line 1, column 2)"),
        ("NaN", "not one JSON value (line 1, column 1)"),
        ("", "not one JSON value (line 1, column 1)"),
        ("[" * 2_000 + "]" * 2_000, "not one JSON value (line 1, column 1026)"),
        ('"' + "x" * MAX_CHARS + '"', f"too long ({MAX_CHARS + 2} bytes) to be checked"),
    ],
)
def test_the_whole_answer_must_be_json(text: str, reason: str | None) -> None:
    found = verdict(spec("json"), text)
    assert found.reason == ("" if reason is None else f"json: {reason}")


def test_an_object_may_be_demanded() -> None:
    assert verdict(spec("json", object=True), "[1]").reason == "json: not a JSON object"
    assert verdict(spec("json", object=True), "{}").passed


def test_json_must_satisfy_the_schema() -> None:
    wanted = spec("json_schema", schema=CITY)
    assert verdict(wanted, '{"city": "Agra"}').passed
    assert verdict(wanted, '{"city": 3}').reason == (
        "json_schema: fails type at #/properties/city/type"
    )
    assert verdict(wanted, "```\n{}\n```").reason == "json_schema: json inside a code fence"
    assert verdict(wanted, '["city"]').reason == "json_schema: not a JSON object"


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="json_schema: not a JSON Schema at #/type"):
        Validators.compile([spec("json_schema", schema={"type": "x"})])


@pytest.mark.parametrize(
    ("kind", "fields", "text", "passed"),
    [
        ("json", {}, "tru", True),
        ("json", {}, "-", True),
        ("json", {}, "Sure", False),
        ("json", {"object": True}, "[", False),
        ("json_schema", {"schema": CITY}, "[", False),
        ("json_schema", {"schema": CITY}, " {", True),
        ("json_schema", {"schema": {"anyOf": [CITY, {"type": "array"}]}}, "[", True),
        ("json_schema", {"schema": {}}, "`", False),
    ],
)
def test_what_cannot_become_json_shows_early(
    kind: str, fields: dict[str, Any], text: str, passed: bool
) -> None:
    assert Validators.compile([spec(kind, **fields)]).check_prefix(text).passed is passed


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ((), None),
        ((tool_call("weather", '{"city": "Agra"}'),), None),
        ((tool_call("now"), tool_call("weather", '{"city": "Agra"}', index=1)), None),
        ((tool_call("now", '{"any": 1}'),), None),
        ((tool_call("weather", "{}"),), "'city', which #/required requires, is missing"),
        ((tool_call("weather", '{"city": 1}'),), "fails type at #/properties/city/type"),
        ((tool_call("weather", '{"city": '),), "not one JSON value (line 1, column 10)"),
        ((tool_call("now", ""),), "not one JSON value (line 1, column 1)"),
        ((tool_call("now", "[]"),), "not a JSON object"),
        ((tool_call("now"), tool_call("weather", "{}", index=1)), "is missing"),
        ((tool_call("launch"),), "a tool is called that was not offered"),
        ((tool_call(None),), "a tool call lacks its id or name"),
        ((ToolCallPart(0, name="now", arguments="{}"),), "a tool call lacks its id or name"),
    ],
)
@pytest.mark.parametrize("compiled_early", [True, False])
def test_tool_calls_must_be_offered_and_fit(
    calls: tuple[ToolCallPart, ...], reason: str | None, compiled_early: bool
) -> None:
    request = ask(tools=TOOLS)
    validators = Validators.compile([spec("tool_arguments")], request if compiled_early else None)
    found = verdict(validators, "text", request, tool_calls=calls, finish="tool_calls")
    assert found.passed is (reason is None)
    assert (reason or "") in found.reason


@pytest.mark.parametrize(
    ("fields", "calls", "reason"),
    [
        ({"tool_choice": "required"}, (), "no tool is called though one must be"),
        ({"tool_choice": "required"}, (tool_call("now"),), None),
        ({"tool_choice": "auto"}, (), None),
        ({"tool_choice": "none"}, (tool_call("now"),), "a tool is called though none may be"),
        ({"tool_choice": "none"}, (), None),
        (
            {"tool_choice": {"type": "function", "function": {"name": "now"}}},
            (tool_call("weather", '{"city": "Agra"}'),),
            "a tool other than 'now' is called",
        ),
        (
            {"tool_choice": {"type": "function", "function": {"name": "now"}}},
            (),
            "no tool is called though one must be",
        ),
        (
            {"parallel_tool_calls": False},
            (tool_call("now"), tool_call("now", index=1)),
            "several tools are called though parallel_tool_calls is false",
        ),
        ({"tools": None}, (tool_call("now"),), "a tool is called though none may be"),
    ],
)
def test_the_clients_tool_choice_is_kept(
    fields: dict[str, Any], calls: tuple[ToolCallPart, ...], reason: str | None
) -> None:
    request = ask(**{"tools": TOOLS, **fields})
    found = verdict(spec("tool_arguments"), None, request, tool_calls=calls)
    assert found.reason == ("" if reason is None else f"tool_arguments: {reason}")


def test_tools_of_another_type_keep_their_names_to_themselves() -> None:
    request = ask(tools=[*TOOLS, {"type": "web_search"}])
    search = tool_call("web_search", "not json")
    assert verdict(spec("tool_arguments"), None, request, tool_calls=(search,)).passed
    bad = tool_call("weather", "{}")
    assert not verdict(spec("tool_arguments"), None, request, tool_calls=(bad,)).passed


def test_reasons_quote_nothing_of_the_arguments() -> None:
    call = tool_call("weather", '{"SECRET": "SECRET"}')
    found = verdict(spec("tool_arguments"), "SECRET", ask(tools=TOOLS), tool_calls=(call,))
    assert not found.passed
    assert "SECRET" not in found.reason
