from typing import Any

import pytest

from serving.errors import TierProtocolError
from serving.hosted.translate.stream import StreamTranslator
from serving.wire.completion import Assembler, Chunk, ToolCallPart, Usage

START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "model": "claude-opus-5-5", "content": [],
        "usage": {
            "input_tokens": 3, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 1,
        },
    },
}  # fmt: skip


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str = "end_turn", **usage: Any) -> list[dict[str, Any]]:
    last = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}
    return [last, {"type": "message_stop"}]


def chunks(*events: dict[str, Any]) -> list[Chunk]:
    translator = StreamTranslator(5)
    made = [chunk for event in events for chunk in translator.feed(event)]
    return made + translator.finish()


def test_a_stream_opens_with_the_role_and_ends_with_the_usage() -> None:
    found = chunks(
        START,
        start(0, type="text", text=""),
        {"type": "ping"},
        delta(0, "text_delta", text="Hel"),
        delta(0, "text_delta", text="lo"),
        stop(0),
        *end(output_tokens=4),
    )
    assert (found[0].role, found[0].id, found[0].model) == ("assistant", "msg_1", "claude-opus-5-5")
    assert [c.content for c in found[1:3]] == ["Hel", "lo"]
    assert found[-2].finish_reason == "stop"
    assert found[-1].finish_reason is None
    assert [c.usage is not None for c in found] == [False] * (len(found) - 1) + [True]


def test_trap_5364_usage_is_complete_though_a_delta_lacks_the_split() -> None:
    counts: dict[str, Any] = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 7,
        "output_tokens": 40,
        "output_tokens_details": {"thinking_tokens": 30},
    }
    assert chunks(START, *end(**counts))[-1].usage == Usage(110, 40, 7, 100, 100, 30)
    assert chunks(START, *end(output_tokens=2, input_tokens=None))[-1].usage == Usage(
        110, 2, 7, 100, 100, 0
    )


def test_tool_calls_are_numbered_and_their_arguments_come_in_pieces() -> None:
    found = chunks(
        START,
        start(0, type="text", text="Look:"),
        stop(0),
        start(1, type="tool_use", id="toolu_1", name="f", input={}),
        delta(1, "input_json_delta", partial_json=""),
        delta(1, "input_json_delta", partial_json='{"a"'),
        delta(1, "input_json_delta", partial_json=":1}"),
        stop(1),
        start(2, type="tool_use", id="toolu_2", name="g", input={}),
        stop(2),
        *end("tool_use", output_tokens=9),
    )
    parts = [p for c in found for p in c.tool_calls]
    assert parts == [
        ToolCallPart(0, "toolu_1", "f"),
        ToolCallPart(0, arguments='{"a"'),
        ToolCallPart(0, arguments=":1}"),
        ToolCallPart(1, "toolu_2", "g"),
        ToolCallPart(1, arguments="{}"),
    ]
    assert found[1].content == "Look:"
    assert found[-2].finish_reason == "tool_calls"
    assert found[-2].provider_content is None


def test_thinking_is_put_together_with_its_signature() -> None:
    found = chunks(
        START,
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm"),
        delta(0, "thinking_delta", thinking="."),
        delta(0, "signature_delta", signature="sig"),
        stop(0),
        start(1, type="text", text=""),
        delta(1, "text_delta", text="Yes"),
        delta(1, "citations_delta", citation={"type": "char_location"}),
        stop(1),
        *end(output_tokens=3),
    )
    assembler = Assembler()
    for chunk in found:
        assembler.add(chunk)
    choice = assembler.completion().first
    assert (choice.reasoning, choice.content) == ("Hm.", "Yes")
    assert choice.provider_content == {
        "provider": "anthropic",
        "model": "claude-opus-5-5",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
            {"type": "text", "text": "Yes", "citations": [{"type": "char_location"}]},
        ],
    }


def test_trap_23899_a_refusal_in_a_stream() -> None:
    last = {
        "type": "message_delta",
        "delta": {"stop_reason": "refusal", "stop_details": {"explanation": "No."}},
        "usage": {"output_tokens": 1},
    }
    found = chunks(START, last)
    assert (found[-2].finish_reason, found[-2].refusal) == ("content_filter", "No.")


def test_a_tool_call_cut_off_by_the_limit_keeps_what_was_written() -> None:
    found = chunks(
        START,
        start(0, type="tool_use", id="toolu_1", name="f", input={}),
        delta(0, "input_json_delta", partial_json='{"a": "unfin'),
        stop(0),
        *end("max_tokens", output_tokens=9),
    )
    assert found[-2].finish_reason == "length"
    assert found[2].tool_calls[0].arguments == '{"a": "unfin'


def test_unknown_events_and_deltas_are_passed_over() -> None:
    found = chunks(
        START,
        {"type": "something_new"},
        start(0, type="new_block", value=1),
        delta(0, "new_delta", value=2),
        stop(0),
        *end(output_tokens=1),
    )
    assert len(found) == 3
    assert found[1].provider_content is not None


@pytest.mark.parametrize(
    "events",
    [
        [start(0, type="text", text="x")],
        [START],
        [START, start(0, type="text", text="x")],
        [START, delta(3, "text_delta", text="x")],
        [START, start(0, type="text", text=""), delta(0, "text_delta")],
        [{"type": "message_start"}],
    ],
)
def test_a_stream_that_broke_off_or_does_not_fit_together(events: list[dict[str, Any]]) -> None:
    with pytest.raises(TierProtocolError):
        chunks(*events)
