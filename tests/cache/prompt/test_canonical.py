"""Equal content leaves as equal bytes."""

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cache.prompt.canonical import Canonicaliser, stable_schema
from serving.hosted.models import catalog
from serving.hosted.translate.request import Target, to_anthropic
from serving.wire.chat import ChatRequest
from tests.cache.prompt.helpers import OPUS, chat, system, tool

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=4)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, list):
        return [shuffled(item, rng) for item in value]
    if isinstance(value, dict):
        return {k: shuffled(value[k], rng) for k in rng.sample(list(value), len(value))}
    return value


def leaving(request: ChatRequest) -> str:
    """The body that is sent."""
    made = Canonicaliser()(request).request
    return json.dumps(to_anthropic(made, Target(OPUS, 1_000), catalog()).kwargs)


def talk(arguments: str) -> list[dict[str, Any]]:
    use = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": arguments}}
    return [
        {"role": "user", "content": "Find it."},
        {"role": "assistant", "content": None, "tool_calls": [use]},
        {"role": "tool", "tool_call_id": "c1", "content": "There."},
    ]


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=4), values, max_size=4), st.randoms(use_true_random=False))
def test_arguments_leave_in_one_form_and_with_their_values(
    value: dict[str, Any], rng: random.Random
) -> None:
    forms = [json.dumps(value), json.dumps(shuffled(value, rng), indent=1)]
    bodies = {leaving(chat(*talk(form), tools=[tool("find")])) for form in forms}
    assert len(bodies) == 1
    (use,) = [b for m in json.loads(bodies.pop())["messages"] for b in m["content"] if "input" in b]
    assert use["input"] == value


def test_tools_leave_in_one_order_and_one_form() -> None:
    schema = {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "description": "Why."},
            "answer": {"type": "string"},
            "note": {"type": "string"},
            "also": {"type": "string"},
        },
        "required": ["reason", "answer"],
    }
    rng = random.Random(1)
    bodies = set()
    for _ in range(20):
        names = rng.sample(["find", "add", "list"], 3)
        tools = [tool(name, parameters=shuffled(schema, rng)) for name in names]
        bodies.add(leaving(chat(system("Be brief."), "Hi", tools=tools)))
    (body,) = bodies
    tools = json.loads(body)["tools"]
    assert [t["name"] for t in tools] == ["add", "find", "list"]
    # Arguments are written in the schema's order: what is required comes as its author listed it.
    assert list(tools[0]["input_schema"]["properties"]) == ["reason", "answer", "also", "note"]


def test_tools_with_a_breakpoint_stay_where_they_are() -> None:
    marked = tool("find") | {"cache_control": {"type": "ephemeral"}}
    request = chat("Hi", tools=[marked, tool("add")])
    found = Canonicaliser()(request)
    assert [t.function.name for t in found.request.tools or () if t.function] == ["find", "add"]
    assert found.tool_order == (0, 1)


def test_a_request_that_has_the_form_is_not_copied() -> None:
    request = chat(system("Be brief."), *talk('{"a": 1, "b": 2}'))
    assert Canonicaliser()(request).request is request


def test_what_has_an_order_of_its_own_keeps_it() -> None:
    schema = {"enum": ["b", "a"], "anyOf": [{"b": 1}, {"a": 2, "A": 3}]}
    made = stable_schema(schema)
    assert json.dumps(made) == '{"anyOf": [{"b": 1}, {"A": 3, "a": 2}], "enum": ["b", "a"]}'


def test_text_that_is_no_json_and_odd_tools_pass() -> None:
    for arguments in ("", "{broken", '{"a": NaN}', '"\\ud800"', "[" * 5_000 + "]" * 5_000):
        request = chat(*talk(arguments))
        assert Canonicaliser()(request).request is request
    odd = chat("Hi", tools=[{"type": "custom", "custom": {"name": "x"}}, tool("a")])
    assert Canonicaliser()(odd).request.tools == odd.tools
    twice = chat("Hi", tools=[tool("b"), tool("a"), tool("b")])
    assert Canonicaliser()(twice).tool_order == (0, 1, 2)


def test_equal_tools_are_made_once() -> None:
    make = Canonicaliser()
    one, other = (make(chat("Hi", tools=[tool("a")])).request.tools for _ in range(2))
    assert one is not None
    assert other is not None
    assert one[0] is other[0]
