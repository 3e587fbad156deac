"""Who may be served by whose answer."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.scope import LEFT_OUT, scope_key
from serving.backend import Call
from serving.wire.chat import ChatRequest

CALL = Call(request_id="r1", tenant="acme", deadline=1.0, task="t", max_tier="big")
BASE: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why is the sky blue?"},
    ],
    "temperature": 0,
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def request(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({**BASE, **fields})


def key(call: Call = CALL, policy: str = "p", **fields: Any) -> str:
    found = scope_key(request(**fields), call, policy)
    assert found is not None
    return found


def user(content: Any, **more: Any) -> list[dict[str, Any]]:
    return [BASE["messages"][0], {"role": "user", "content": content, **more}]


OTHER_REQUESTS: list[dict[str, Any]] = [
    {"model": "big"},
    {"temperature": 0.5},
    {"temperature": None},
    {"top_p": 0.5},
    {"seed": 1},
    {"n": 2},
    {"stop": "\n"},
    {"max_tokens": 10},
    {"logprobs": True},
    {"logprobs": True, "top_logprobs": 3},
    {"reasoning_effort": "low"},
    {"tools": [TOOL]},
    {"tools": [TOOL], "tool_choice": "none"},
    {"tools": [TOOL], "parallel_tool_calls": False},
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
    {"unheard_of": {"knob": 1}},
    {"unheard_of": {"knob": 2}},
    {"messages": BASE["messages"][1:]},
    {"messages": [BASE["messages"][1], BASE["messages"][0]]},
    {"messages": user("why is the sky blue?")},
    {"messages": user("Why is the sky blue? ")},
    {"messages": user("Why is the sky blue?", name="ann")},
    {"messages": user([{"type": "text", "text": "Why is the sky blue?", "cache_control": {}}])},
    {
        "messages": user(
            [{"type": "text", "text": "Why is the sky"}, {"type": "text", "text": "blue?"}]
        )
    },
    {"messages": [*BASE["messages"], {"role": "assistant", "content": "Rayleigh."}, *user("And?")]},
    {"stepwell": {"validators": [{"kind": "json"}]}},
    {"stepwell": {"validators": [{"kind": "json", "object": True}]}},
    {"stepwell": {"validators": [{"kind": "length", "max_chars": 9}]}},
]


def test_each_thing_that_can_change_the_answer_separates() -> None:
    keys = [key(), *(key(**fields) for fields in OTHER_REQUESTS)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "change",
    [{"tenant": "other"}, {"task": "u"}, {"task": None}, {"max_tier": "small"}, {"max_tier": None}],
)
def test_each_scope_is_one_of_its_own(change: dict[str, Any]) -> None:
    assert key(replace(CALL, **change)) != key()


def test_policies_do_not_meet() -> None:
    assert key(policy="p") != key(policy="q")


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "ann"},
        {"safety_identifier": "x"},
        {"metadata": {"feature": "search", "session": "s1"}},
        {"service_tier": "flex"},
        {"store": True},
        {"prompt_cache_key": "k"},
        {"seed": None},
        {"n": 1},
        {"logprobs": False},
        {"tools": []},
        {"stepwell": {"explain": True, "session": "s", "step": "1", "feature": "f"}},
        {"stepwell": {"deadline_ms": 100, "cache": True}},
        {"messages": user([{"type": "text", "text": "Why is the sky blue?"}])},
    ],
)
def test_what_does_not_change_the_answer_does_not_separate(fields: dict[str, Any]) -> None:
    assert key(**fields) == key()


def test_one_meaning_has_one_key() -> None:
    assert key(max_tokens=5) == key(max_completion_tokens=5)
    assert key(stop="a") == key(stop=["a"])
    assert key(stop=["a", "b"]) != key(stop=["b", "a"])
    unsorted = {"type": "object", "a": {"y": 1, "x": 2}}
    other = {"a": {"x": 2, "y": 1}, "type": "object"}
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": p}} for p in (unsorted, other)
    ]
    assert key(tools=tools[:1]) == key(tools=tools[1:])


def test_who_asks_within_the_tenant_does_not_matter() -> None:
    other = replace(
        CALL, request_id="r2", key_id="k", session="s", step="2", feature="f", deadline=9
    )
    assert key(other) == key()


def test_a_request_without_an_exact_form_has_no_key() -> None:
    assert scope_key(request(unheard_of=2**70), CALL, "p") is None
    assert scope_key(request(unheard_of="\ud800"), CALL, "p") is None


def test_the_key_tells_nothing() -> None:
    """Tenants' keys for the same question share nothing that could be compared or guessed."""
    ours, theirs = key(), key(replace(CALL, tenant="acmf"))
    assert len(ours) == len(theirs) == 64
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) < 24  # 4 of 64 by chance


NAMES = st.text(alphabet='a"{}[]:,\\|', max_size=6)


@given(st.tuples(NAMES, NAMES, NAMES, NAMES), st.tuples(NAMES, NAMES, NAMES, NAMES))
def test_no_field_can_pose_as_another(
    one: tuple[str, str, str, str], two: tuple[str, str, str, str]
) -> None:
    def made(parts: tuple[str, str, str, str]) -> str:
        tenant, policy, task, text = parts
        return key(replace(CALL, tenant=tenant, task=task), policy, messages=user(text))

    assert (made(one) == made(two)) is (one == two)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=3)),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.text(max_size=3), below, max_size=3)
    ),
    max_leaves=6,
)


@given(JSON.filter(lambda v: v is not None), JSON.filter(lambda v: v is not None))
def test_an_unknown_parameter_counts_with_its_whole_value(one: Any, two: Any) -> None:
    assert (key(unheard_of=one) == key(unheard_of=two)) is (_typed(one) == _typed(two))


def _typed(value: Any) -> Any:
    """Python holds True equal to 1; JSON does not."""
    if isinstance(value, dict):
        return {k: _typed(v) for k, v in value.items()}
    return [_typed(v) for v in value] if isinstance(value, list) else (type(value), value)


def test_what_is_left_out_is_not_answer_relevant() -> None:
    assert not LEFT_OUT & {"model", "messages", "tools", "seed", "temperature", "response_format"}


def test_the_version_of_a_document_separates_and_tags_do_not() -> None:
    plain = key()
    first = key(stepwell={"document_version": "v1"})
    assert len({plain, first, key(stepwell={"document_version": "v2"})}) == 3
    assert key(stepwell={"document_version": "v1", "cache_tags": ["a"]}) == first
