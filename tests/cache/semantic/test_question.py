"""What a request asks, and who shares a scope."""

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.semantic.question import Asked, Question, asked_by, ttl_s
from serving.backend import Call
from serving.settings.semantic import SemanticSettings
from serving.settings.tasks import TaskCache, TaskSettings
from serving.wire.chat import ChatRequest
from tests.cache.test_scope import BASE, OTHER_REQUESTS, TOOL

TASK = TaskSettings(name="t", cache=TaskCache(enabled=True))
SETTINGS = SemanticSettings(enabled=True)
CALL = Call(request_id="r1", tenant="acme", deadline=time.monotonic(), task="t", max_tier="big")


def asked(call: Call = CALL, policy: str = "p", **fields: Any) -> Asked:
    request = ChatRequest.model_validate({**BASE, **fields})
    found = asked_by(request, call, TASK, SETTINGS, policy)
    assert isinstance(found, Asked)
    return found


def question(call: Call = CALL, policy: str = "p", **fields: Any) -> Question:
    found = asked(call, policy, **fields).question
    assert found is not None
    return found


def last(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [BASE["messages"][0], {"role": "user", "content": content, **more}]}


def test_nobody_waits_for_an_identical_request_that_can_wait() -> None:
    urgent, idle = asked(), asked(replace(CALL, urgency="offline"))
    assert urgent.key != idle.key
    assert urgent.question == idle.question


def test_the_question_is_the_last_text_and_no_part_of_its_scope() -> None:
    one, other = question(**last("Why?")), question(**last("Why is that?"))
    assert (one.text, other.text) == ("Why?", "Why is that?")
    assert one.scope == other.scope
    assert asked(**last("Why?")).key != asked(**last("Why is that?")).key


def _scoped_apart() -> list[dict[str, Any]]:
    """Requests that differ from `BASE` in more than their question."""
    found = []
    for fields in OTHER_REQUESTS:
        messages = fields.get("messages")
        plain = messages is not None and _only_the_text(messages)
        unfit = fields.get("n") or fields.get("logprobs")
        ends = messages is not None and messages[-1]["role"] != "user"
        if not (plain or unfit or ends):
            found.append(fields)
    return found


def _only_the_text(messages: list[dict[str, Any]]) -> bool:
    return (
        len(messages) == 2
        and messages[0] == BASE["messages"][0]
        and messages[1].keys()
        == {
            "role",
            "content",
        }
        and isinstance(messages[1]["content"], str)
    )


APART = [
    *_scoped_apart(),
    {"stepwell": {"document_version": "v1"}},
    {"stepwell": {"document_version": "v2"}},
]


def test_all_else_belongs_to_the_scope() -> None:
    scopes = [question().scope, *(question(**fields).scope for fields in APART)]
    assert len(APART) > 20
    assert len(set(scopes)) == len(scopes)


@pytest.mark.parametrize("field", ["tenant", "task", "max_tier"])
def test_so_does_who_asks(field: str) -> None:
    change: dict[str, Any] = {field: "other"}
    assert question(replace(CALL, **change)).scope != question().scope
    assert question(policy="q").scope != question().scope


@given(
    turns=st.lists(st.sampled_from(["yes", "no", "why", "why "]), min_size=1, max_size=3),
    others=st.lists(st.sampled_from(["yes", "no", "why", "why "]), min_size=1, max_size=3),
)
def test_every_earlier_turn_counts_word_by_word(turns: list[str], others: list[str]) -> None:
    def of(said: list[str]) -> str:
        roles = ("user", "assistant")
        earlier = [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]
        return question(messages=[*earlier, {"role": "user", "content": "And then?"}]).scope

    assert (of(turns) == of(others)) == (turns == others)


def test_parts_of_text_are_one_question_with_their_shape_in_the_scope() -> None:
    part = {"type": "text", "text": "Why?"}
    one = question(**last([part]))
    assert one == question(**last("Why?"))
    two = question(**last([part, {"type": "text", "text": "Really?"}]))
    assert two.text == "Why?\nReally?"
    marked = question(**last([part | {"cache_control": {"type": "ephemeral"}}]))
    assert len({one.scope, two.scope, marked.scope}) == 3


def test_labels_do_not_separate_but_are_kept() -> None:
    own = {"cache_tags": ["prices", "a"], "document_version": "v7"}
    found = question(stepwell=own, metadata={"cache_tags": "b, a,,"}, user="ann", stream=True)
    assert found.tags == ("prices", "a", "b")
    assert found.document == "v7"
    plain = question(stepwell={"document_version": "v7"})
    assert (plain.scope, plain.tags) == (found.scope, ())


def test_a_request_without_an_exact_form_is_not_cached() -> None:
    request = ChatRequest.model_validate({**BASE, "seed": 2**70})
    assert asked_by(request, CALL, TASK, SETTINGS) == "the request has no exact form"


def test_offering_tools_is_no_tool_call() -> None:
    assert question(tools=[TOOL]).scope != question().scope
    assert asked(tools=[TOOL], tool_choice="required").off == "a turn with tool calls"


def test_a_tag_shortens_the_life() -> None:
    settings = SemanticSettings(tag_ttl_s={"prices": 60.0, "news": 5.0})
    assert ttl_s(TASK, (), settings) == 3_600
    assert ttl_s(TASK, ("other", "prices"), settings) == 60
    assert ttl_s(TASK, ("prices", "news"), settings) == 5
