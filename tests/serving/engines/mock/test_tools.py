import json
from typing import Any

import jsonschema_rs
import pytest

from serving.engines.mock.reading import read
from serving.engines.mock.tools import chosen, true_calls, wrong_calls
from tests.serving.engines.helpers import ask


def tool(name: str, description: str | None = None, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


WEATHER = tool("get_weather", city={"type": "string"})
CLOCK = tool("currentTime", zone={"enum": ["CET", "UTC"]})
TICKET = tool("create_ticket", "Opens a support case for a customer", title={"type": "string"})
TOOLS = [WEATHER, CLOCK, TICKET]


def names(text: str, **params: Any) -> list[str]:
    request = ask(text, tools=TOOLS, **params)
    return [f.name for f in chosen(request, read(request))]


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("What is the weather in Paris?", ["get_weather"]),
        ("Weather in Rome and the current time there", ["get_weather", "currentTime"]),
        ("Please open a support case for this customers order", ["create_ticket"]),
        ("Which tickets are left?", ["create_ticket"]),
        ("Tell me a joke", []),
    ],
)
def test_a_request_calls_the_tools_it_speaks_of(text: str, called: list[str]) -> None:
    assert sorted(names(text)) == sorted(called)


def test_tool_choice() -> None:
    named = {"type": "function", "function": {"name": "currentTime"}}
    assert names("Tell me a joke", tool_choice="required") == ["get_weather"]
    assert names("What time is the current time?", tool_choice="required") == ["currentTime"]
    assert names("What is the weather?", tool_choice=named) == ["currentTime"]
    assert names("What is the weather?", tool_choice="none") == []


def test_parallel_calls_can_be_forbidden() -> None:
    text = "Weather in Rome and the current time there"
    assert len(names(text, parallel_tool_calls=True)) == 2
    assert len(names(text, parallel_tool_calls=False)) == 1


def test_after_a_result_it_answers_in_text_unless_a_call_is_demanded() -> None:
    called = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": "{}"},
    }
    messages = [
        {"role": "user", "content": "What is the weather in Paris?"},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert names("", messages=messages) == []
    assert names("", messages=messages, tool_choice="required") == ["get_weather"]


def test_tools_that_are_no_functions_are_left_alone() -> None:
    request = ask("What is the weather?", tools=[{"type": "custom", "custom": {"name": "weather"}}])
    assert chosen(request, read(request)) == ()


def test_arguments_of_right_calls_satisfy_their_schemas() -> None:
    request = ask("Weather in Rome and the current time there", tools=TOOLS)
    reading = read(request)
    functions = chosen(request, reading)
    for i in range(20):
        calls = true_calls(functions, bytes([i]), reading)
        assert [c.index for c in calls] == [0, 1]
        assert len({c.id for c in calls}) == 2
        for function, made in zip(functions, calls, strict=True):
            assert made.name == function.name
            assert function.parameters is not None
            jsonschema_rs.validate(function.parameters, json.loads(made.arguments))


def test_wrong_calls_differ_in_the_arguments_of_one() -> None:
    request = ask("Weather in Rome and the current time there", tools=TOOLS)
    reading = read(request)
    functions = chosen(request, reading)
    truth = true_calls(functions, b"q", reading)
    for i in range(20):
        wrong = wrong_calls(functions, truth, reading, bytes([i]))
        assert sum(a != b for a, b in zip(truth, wrong, strict=True)) == 1
        assert [(c.index, c.id, c.name) for c in wrong] == [(c.index, c.id, c.name) for c in truth]


def test_a_tool_without_parameters_gets_an_empty_object() -> None:
    request = ask("ping", tools=[{"type": "function", "function": {"name": "ping"}}])
    functions = chosen(request, read(request))
    assert true_calls(functions, b"q", read(request))[0].arguments == "{}"
