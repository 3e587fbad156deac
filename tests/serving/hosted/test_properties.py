"""Properties of the translation, checked against the emulator's own, independent rules."""

import json
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import InvalidRequest, TierRejected
from serving.hosted.emulator.parse import to_chat
from serving.hosted.emulator.validate import CURRENT, check_request, parse_messages
from serving.hosted.models import catalog
from serving.hosted.translate.ids import tool_name
from serving.hosted.translate.messages import OPENING
from serving.hosted.translate.request import Target, Translated, to_anthropic
from serving.hosted.translate.response import to_choice
from serving.hosted.translate.stream import StreamTranslator
from serving.wire.chat import ChatRequest
from serving.wire.completion import Assembler
from tests.serving.hosted.fakes import OPUS, weather_tool
from tests.serving.hosted.strategies import MODELS, answer_blocks, fields, loose, message, whole

thorough = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def translate(messages: list[dict[str, Any]], model: str, **more: Any) -> Translated | None:
    """None where the request is refused by name."""
    request = ChatRequest.model_validate({"model": "auto", "messages": messages, **more})
    try:
        return to_anthropic(request, Target(model, 4_096), catalog())
    except (InvalidRequest, TierRejected):
        return None


def accepted(kwargs: dict[str, Any]) -> Any:
    """The request as the API sees it after a trip over the wire; an error where it is refused."""
    request = parse_messages(json.loads(json.dumps(kwargs)), CURRENT)
    check_request(request, catalog().ability(request.model))
    return request


@thorough
@given(st.lists(loose, min_size=1, max_size=6), st.sampled_from(MODELS), fields)
def test_any_request_is_refused_by_name_or_accepted_by_the_api(
    messages: list[dict[str, Any]], model: str, more: dict[str, Any]
) -> None:
    found = translate(messages, model, **more)
    if found is not None:
        accepted(found.kwargs)


@thorough
@given(whole, st.sampled_from(MODELS), fields)
def test_a_conversation_that_is_whole_is_accepted(
    history: list[dict[str, Any]], model: str, more: dict[str, Any]
) -> None:
    messages = [message("system", "S"), *history, message("user", "And now?")]
    if more.get("tool_choice") == "required":
        del more["tool_choice"]
    found = translate(messages, model, **more)
    assert found is not None
    accepted(found.kwargs)


def blocks(kwargs: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (m["role"], json.dumps({k: v for k, v in b.items() if k != "cache_control"}))
        for m in kwargs["messages"]
        for b in m["content"]
    ]


@thorough
@given(whole, whole, st.sampled_from(MODELS))
def test_trap_36559_what_was_sent_stays_the_prefix_of_what_is_sent_next(
    history: list[dict[str, Any]], later: list[dict[str, Any]], model: str
) -> None:
    asked = [message("system", "S"), *history, message("user", "Question")]
    grown = [*asked, message("assistant", "Answer"), *later, message("user", "More")]
    first, second = translate(asked, model), translate(grown, model)
    assert first is not None
    assert second is not None
    before, after = blocks(first.kwargs), blocks(second.kwargs)
    assert after[: len(before)] == before
    assert first.kwargs.get("system") == second.kwargs.get("system")


FRAMED = re.compile(r"<system>\n(.*)\n</system>", re.DOTALL)


def spoken(messages: list[Any]) -> list[tuple[str, Any]]:
    """Who said what: texts, calls and results, without empty ones, framing and cuts."""
    said: list[tuple[str, Any]] = []
    for m in messages:
        role = {"developer": "system"}.get(m.role, m.role)
        if m.role == "tool":
            said.append(("tool", m.text.strip()))
            continue
        if m.text == OPENING:
            continue
        found = m.content if isinstance(m.content, list) else [m]
        for text in (p.text for p in found):
            framed = FRAMED.fullmatch(text or "")
            if text is not None and text.strip():
                said.append(("system", framed.group(1)) if framed else (role, text))
        said += [("call", tool_name(c.function.name)) for c in m.tool_calls or () if c.function]
    return said


@thorough
@given(whole)
def test_nothing_that_was_said_is_lost_or_moved_on_the_round_trip(
    history: list[dict[str, Any]],
) -> None:
    # A system message stands behind the user turn that it came with, which `turns` does already.
    messages = [message("system", "S"), *history, message("user", "Question")]
    found = translate(messages, OPUS, tools=[weather_tool(), weather_tool(name="lookup")])
    assert found is not None
    back = to_chat(accepted(found.kwargs), 10)
    sent = ChatRequest.model_validate({"model": "auto", "messages": messages})
    assert sorted(map(str, spoken(back.messages))) == sorted(map(str, spoken(sent.messages)))
    plain = [s for s in spoken(sent.messages) if s[0] in {"assistant", "call", "tool"}]
    assert [s for s in spoken(back.messages) if s[0] in {"assistant", "call", "tool"}] == plain


EMPTY = {"text": "", "thinking": "", "signature": "", "input": {}}
DELTAS = {"text": "text_delta", "thinking": "thinking_delta"}


def streamed(content: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """The events of a message, its texts cut into pieces of `size`."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg", "model": OPUS, "usage": usage}}
    ]
    for index, block in enumerate(content):
        opening = {k: EMPTY.get(k, v) for k, v in block.items()}
        events.append({"type": "content_block_start", "index": index, "content_block": opening})
        whole_text = block.get(block["type"], "")
        field, kind = block["type"], DELTAS.get(block["type"])
        if block["type"] == "tool_use":
            whole_text, field = json.dumps(block["input"]), "partial_json"
            kind = "input_json_delta"
        for at in range(0, len(whole_text), size):
            delta = {"type": kind, field: whole_text[at : at + size]}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        if "signature" in block:
            delta = {"type": "signature_delta", "signature": block["signature"]}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": "end_turn", "stop_details": None}
    return [*events, {"type": "message_delta", "delta": end, "usage": usage}]


@given(st.lists(answer_blocks, max_size=5), st.integers(1, 7))
def test_a_stream_amounts_to_the_whole_answer(content: list[dict[str, Any]], size: int) -> None:
    translator, assembler = StreamTranslator(0), Assembler()
    for event in streamed(content, size):
        for chunk in translator.feed(event):
            assembler.add(chunk)
    for chunk in translator.finish():
        assembler.add(chunk)
    got, wanted = assembler.completion().first, to_choice(content, "end_turn", None, OPUS)
    assert (got.content or None) == (wanted.content or None)
    assert got.reasoning == wanted.reasoning
    assert got.provider_content == wanted.provider_content
    assert [(c.index, c.id, c.name, json.loads(c.arguments)) for c in got.tool_calls] == [
        (c.index, c.id, c.name, json.loads(c.arguments)) for c in wanted.tool_calls
    ]
