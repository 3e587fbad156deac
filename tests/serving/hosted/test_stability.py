"""Equal requests leave as equal bytes, whatever way they came: else no cache would ever match."""

import copy
import itertools
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.engines.remote.wire import pack, unpack
from serving.errors import InvalidRequest, TierRejected
from serving.hosted.models import catalog
from serving.hosted.translate.arguments import arguments_object, arguments_text
from serving.hosted.translate.request import Target, to_anthropic
from serving.hosted.translate.response import to_completion
from serving.wire.chat import ChatRequest
from tests.serving.hosted.fakes import OPUS, call, weather_tool
from tests.serving.hosted.strategies import (
    MODELS,
    answer_blocks,
    arguments,
    fields,
    inputs,
    message,
    texts_of_claude,
    uses,
    whole,
)

steady = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
models = st.sampled_from(MODELS)


def sent(request: ChatRequest, model: str) -> bytes | None:
    """What goes over the wire, None where the request is refused by name."""
    try:
        kwargs = to_anthropic(request, Target(model, 4_096), catalog()).kwargs
    except (InvalidRequest, TierRejected):
        return None
    return json.dumps(kwargs, ensure_ascii=False).encode()


def parsed(messages: list[dict[str, Any]], **more: Any) -> ChatRequest:
    body = {"model": "auto", "messages": messages, **more}
    return ChatRequest.model_validate_json(json.dumps(body))


@steady
@given(whole, models, fields)
def test_a_request_is_translated_the_same_every_time(
    history: list[dict[str, Any]], model: str, more: dict[str, Any]
) -> None:
    messages = [message("system", "S"), *history, message("user", "?")]
    request, twin = parsed(messages, **more), parsed(copy.deepcopy(messages), **more)
    first = sent(request, model)
    assert sent(request, model) == sent(twin, model) == first  # nothing was modified on the way


@steady
@given(whole, models, fields)
def test_the_way_between_processes_changes_no_byte(
    history: list[dict[str, Any]], model: str, more: dict[str, Any]
) -> None:
    request = parsed([*history, message("user", "?")], **more)
    once, _ = unpack(pack(request, call()))
    twice, _ = unpack(pack(once, call()))
    assert sent(once, model) == sent(twice, model) == sent(request, model)


@steady
@given(whole, models, fields)
def test_the_order_in_which_a_client_writes_its_fields_is_of_no_matter(
    history: list[dict[str, Any]], model: str, more: dict[str, Any]
) -> None:
    messages = [*history, message("user", "?")]
    turned = [dict(reversed(m.items())) for m in messages]
    again = dict(reversed(more.items()))
    assert sent(parsed(turned, **again), model) == sent(parsed(messages, **more), model)


@steady
@given(st.permutations(["a", "b", "c"]))
def test_tools_stay_in_the_order_in_which_they_came(order: list[str]) -> None:
    request = parsed([message("user", "?")], tools=[weather_tool(name=name) for name in order])
    kwargs = to_anthropic(request, Target(OPUS, 100), catalog()).kwargs
    assert [tool["name"] for tool in kwargs["tools"]] == order


def turn_of(content: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An answer as a client sends it back, and results for all of its calls."""
    stop = "tool_use" if any(b["type"] == "tool_use" for b in content) else "end_turn"
    body = {"id": "m", "model": OPUS, "content": content, "stop_reason": stop, "usage": {}}
    choice = to_completion(body, 0).first
    made = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in choice.tool_calls
    ]
    turn = message("assistant", choice.content)
    if made:
        turn["tool_calls"] = made
    if choice.provider_content is not None:
        turn["provider_content"] = choice.provider_content
    return turn, [message("tool", "done", tool_call_id=c["id"]) for c in made]


def replayed(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks that Claude gets back of an answer that consisted of `content`."""
    turn, results = turn_of(content)
    request = parsed([message("user", "?"), turn, *results, message("user", "And?")])
    kwargs = to_anthropic(request, Target(OPUS, 100), catalog()).kwargs
    blocks: list[dict[str, Any]] = kwargs["messages"][1]["content"]
    return blocks


# Claude's own turns: texts of which nothing is invisible, then calls of which no id stands twice.
plain = st.tuples(
    texts_of_claude.filter(lambda b: b["text"].strip()),
    st.lists(uses, max_size=3, unique_by=lambda b: b["id"]),
).map(lambda found: [found[0], *found[1]])
thought = st.lists(answer_blocks, min_size=1, max_size=5).filter(
    lambda blocks: (
        blocks[-1]["type"] in {"text", "tool_use"}
        and any(b["type"] not in {"text", "tool_use"} for b in blocks)
        and all(b["text"].strip() for b in blocks if b["type"] == "text")
        and len({b["id"] for b in blocks if b["type"] == "tool_use"})
        == sum(b["type"] == "tool_use" for b in blocks)
    )
)


@steady
@given(plain | thought)
def test_what_claude_wrote_goes_back_to_the_byte(content: list[dict[str, Any]]) -> None:
    """Through our form and back, as a client keeps it that knows nothing of Claude."""
    assert json.dumps(replayed(content)) == json.dumps(content)


@steady
@given(plain, plain)
def test_an_answer_that_comes_back_twice_is_the_same_both_times(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    """So that the next turn reads from the cache what this one wrote."""
    again = [{**b, "id": f"{b['id']}_2"} if "id" in b else b for b in second]
    talk = [message("user", "?")]
    before: bytes | None = None
    for content in (first, again):
        turn, results = turn_of(content)
        talk += [turn, *results, message("user", "And?")]
        kwargs = to_anthropic(parsed(talk), Target(OPUS, 100), catalog()).kwargs
        texts = [json.dumps(m) for m in kwargs["messages"]]
        if before is not None:
            assert "".join(texts[: len(texts) - 2]).encode().startswith(before)
        before = "".join(texts).encode()


@steady
@given(inputs)
def test_arguments_are_the_same_text_after_any_number_of_ways(value: dict[str, Any]) -> None:
    text = arguments_text(value)
    for _ in range(3):
        assert arguments_text(arguments_object(text)) == text


@steady
@given(arguments)
def test_arguments_of_others_settle_at_once(text: str) -> None:
    once = arguments_text(arguments_object(text))
    assert arguments_text(arguments_object(once)) == once


def test_strategies_reach_what_they_are_for() -> None:
    """Both kinds of answers, and requests that are not refused."""
    assert replayed([{"type": "text", "text": "a"}])
    kinds = [[message("user", "?")], [message("user", "?", name="x")]]
    assert all(sent(parsed(m), model) for m, model in itertools.product(kinds, MODELS))
