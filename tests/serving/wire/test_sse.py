"""Chunks as events, to the byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.wire.completion import Chunk, TokenLogprob, ToolCallPart, Usage
from serving.wire.sse import ChatEvents, event

HEAD = ("tier-id", 7, "m")
USAGE = Usage(2, 1)


def chat_events(**options: Any) -> ChatEvents:
    return ChatEvents("chatcmpl-1", lambda _: "small", **options)


def only(data: bytes) -> Any:
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    return json.loads(data[6:-2])


@pytest.mark.parametrize("usage", [True, False])
@given(text=st.text(), index=st.integers(0, 3))
def test_the_fast_path_says_what_the_slow_one_does(usage: bool, text: str, index: int) -> None:
    events = chat_events(usage=usage)
    data = events.piece(0, Chunk(*HEAD, index=index, content=text))
    expected = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "small",
        "choices": [
            {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
        ],
    }
    if usage:
        expected["usage"] = None
    assert data == event(expected)
    assert data.count(b"\n") == 2  # nothing in a text breaks out of its event


@pytest.mark.parametrize(
    ("chunk", "delta"),
    [
        (Chunk(*HEAD, role="assistant", content=""), {"role": "assistant", "content": ""}),
        (Chunk(*HEAD, reasoning="hm"), {"reasoning_content": "hm"}),
        (Chunk(*HEAD, refusal="no"), {"refusal": "no"}),
        (Chunk(*HEAD, provider_content={"a": 1}), {"provider_content": {"a": 1}}),
        (Chunk(*HEAD), {}),
        (
            Chunk(*HEAD, tool_calls=(ToolCallPart(0, "call_1", "f", ""),)),
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "f", "arguments": ""},
                    }
                ]
            },
        ),
        (
            Chunk(*HEAD, tool_calls=(ToolCallPart(2, arguments='{"a"'),)),
            {"tool_calls": [{"index": 2, "function": {"arguments": '{"a"'}}]},
        ),
    ],
)
def test_deltas(chunk: Chunk, delta: dict[str, Any]) -> None:
    assert only(chat_events().piece(0, chunk))["choices"] == [
        {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    ]


def test_a_choice_ends_with_its_reason() -> None:
    body = only(chat_events().piece(0, Chunk(*HEAD, index=1, finish_reason="length")))
    assert body["choices"][0] == {
        "index": 1,
        "delta": {},
        "logprobs": None,
        "finish_reason": "length",
    }


def test_logprobs_only_where_asked() -> None:
    chunk = Chunk(*HEAD, content="a", logprobs=(TokenLogprob("a", -1.0),))
    silent = only(chat_events().piece(0, chunk))["choices"][0]["logprobs"]
    asked = only(chat_events(top_logprobs=0).piece(0, chunk))["choices"][0]["logprobs"]
    assert silent is None
    assert asked["content"][0]["logprob"] == -1.0


def test_the_model_is_asked_once() -> None:
    names = iter(["small", "large"])
    events = ChatEvents("chatcmpl-1", lambda _: next(names))
    bodies = [only(events.piece(0, Chunk(*HEAD, content=c))) for c in "ab"]
    assert {b["model"] for b in bodies} == {"small"}


def test_the_end_with_usage_and_trace() -> None:
    events = chat_events(usage=True)
    events.piece(0, Chunk(*HEAD, content="a"))
    data = events.last(USAGE, {"tier": "small"}, {"decisions": []})
    last, done, rest = data.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    body = json.loads(last[6:])
    assert list(body) == ["id", "object", "created", "model", "choices", "usage", "stepwell"]
    assert body["choices"] == []
    assert body["usage"]["stepwell"] == {"tier": "small"}
    assert body["stepwell"] == {"decisions": []}
    assert b'"stepwell":{"decisions"' not in events.last(USAGE, {}, None)


def test_the_end_without_usage() -> None:
    events = chat_events()
    events.piece(0, Chunk(*HEAD, content="a"))
    assert events.last(USAGE, {}, None) == b"data: [DONE]\n\n"


def test_a_cut_surrogate_pair_does_not_break_the_stream() -> None:
    body = only(chat_events().piece(0, Chunk(*HEAD, content="\ud83d")))
    assert body["choices"][0]["delta"]["content"] == "\ud83d"
