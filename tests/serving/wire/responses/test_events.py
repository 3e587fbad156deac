"""A stream's events, as the `openai` SDK puts them together."""

import json
from typing import Any, cast

from hypothesis import given
from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from serving.wire.completion import Choice, Chunk, Usage
from serving.wire.responses.events import ResponseEvents
from serving.wire.responses.output import output_items
from serving.wire.responses.render import Head, failure
from serving.wire.responses.request import ResponseRequest
from tests.serving.wire.responses.strategies import HEAD, streams

ANSWER = "d" * 32


def events(**body: Any) -> ResponseEvents:
    asked = ResponseRequest.model_validate({"model": "auto", "input": "Hi", **body})
    head = Head(f"resp_{ANSWER}", 1_700_000_000, asked, store=True)
    return ResponseEvents(head, lambda chunk: chunk.model, top_logprobs=asked.logprobs_asked)


def parsed(data: bytes) -> list[dict[str, Any]]:
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        name, line = block.split("\n")
        event = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def played(chunks: list[Chunk], usage: Usage, it: ResponseEvents | None = None) -> bytes:
    it = it or events()
    data = b"".join(it.piece(0, chunk) for chunk in chunks)
    data += it.last(usage, {"tier": "small"}, None)
    return data + it.end(it.final)


@given(streams())
def test_the_sdk_puts_together_what_was_said(stream: tuple[Choice, list[Chunk]]) -> None:
    choice, chunks = stream
    found = parsed(played(chunks, Usage(3, 2)))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in found:
        built = construct_type_unchecked(type_=cast("Any", ResponseStreamEvent), value=event)
        state.handle_event(built)
    final = found[-1]["response"]
    incomplete = choice.finish_reason == "length"
    assert found[-1]["type"] == f"response.{'incomplete' if incomplete else 'completed'}"
    if not incomplete:
        assert state._completed_response is not None
        assert state._completed_response.output_text == (choice.content or "")
    expected = output_items(choice, ANSWER, top_logprobs=None)
    assert final["output"] == json.loads(json.dumps(list(expected.values())))
    done = [e["item"] for e in found if e["type"] == "response.output_item.done"]
    assert done == final["output"]
    assert final["usage"]["total_tokens"] == 5


@given(streams())
def test_deltas_add_up_to_what_is_done(stream: tuple[Choice, list[Chunk]]) -> None:
    said: dict[tuple[Any, ...], str] = {}
    for event in parsed(played(stream[1], Usage())):
        kind, _, what = event["type"].rpartition(".")
        place = (kind, event.get("output_index"), event.get("content_index"))
        if what == "delta":
            said[place] = said.get(place, "") + event["delta"]
        elif what == "done" and "item" not in event and "part" not in event:
            whole = event.get("text", event.get("refusal", event.get("arguments")))
            assert said.get(place, "") == whole


def test_a_failure_before_the_first_word_still_begins() -> None:
    it = events()
    found = parsed(it.failed(failure(504, "Too late.", "deadline_exceeded"), None))
    kinds = [event["type"] for event in found]
    assert kinds == ["response.created", "response.in_progress", "response.failed"]
    assert found[-1]["response"]["error"]["code"] == "server_error"


def test_a_failure_in_the_middle_keeps_what_was_said() -> None:
    it = events()
    it.piece(0, Chunk("id", 1, "m", content="Half of"))
    (failed,) = parsed(it.failed(failure(502, "It broke off."), {"why": "x"}))
    (item,) = failed["response"]["output"]
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "Half of")
    assert failed["response"]["stepwell"] == {"why": "x"}


def test_calls_may_come_in_turns() -> None:
    from serving.wire.completion import ToolCallPart

    one, two = (ToolCallPart(n, f"c{n}", f"f{n}") for n in range(2))
    rest = [ToolCallPart(n % 2, arguments=text) for n, text in enumerate("abcd")]
    pieces = [Chunk("id", 1, "m", tool_calls=(part,)) for part in (one, two, *rest)]
    last = Chunk("id", 1, "m", finish_reason="tool_calls")
    found = parsed(played([HEAD, *pieces, last], Usage()))[-1]["response"]["output"]
    assert [item["arguments"] for item in found] == ["ac", "bd"]
