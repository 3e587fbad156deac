"""What the trivial upstream says: fixed answers in Anthropic's and in OpenAI's form."""

import json
from typing import Any

ANSWER = "Your new card arrives within two working days."
ANSWER_TOKENS = 9
BURST_TOKENS = 128
PACED_TOKENS = 25
PACED_TOKENS_PER_S = 100
MODEL = "claude-sonnet-5"
# Neighbours differ: LiteLLM breaks off a stream that repeats a token.
WORDS = (" your", " card", " comes", " in", " two", " days")

Json = dict[str, Any]


def messages_body() -> bytes:
    """An answer of Anthropic's Messages API."""
    return _dumps(
        {
            **_message([{"type": "text", "text": ANSWER}], "end_turn"),
            "usage": {"input_tokens": 24, "output_tokens": ANSWER_TOKENS},
        }
    )


def messages_events(tokens: int) -> list[bytes]:
    """The same API's stream, as the pieces in which it is sent: one per token, the first with what
    comes before it, the last with what comes after it.
    """
    start = {**_message([], None), "usage": {"input_tokens": 24, "output_tokens": 1}}
    block: Json = {"index": 0, "content_block": {"type": "text", "text": ""}}
    head = _event("message_start", message=start) + _event("content_block_start", **block)
    deltas = [
        _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
        for text in _texts(tokens)
    ]
    tail = (
        _event("content_block_stop", index=0)
        + _event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": tokens},
        )
        + _event("message_stop")
    )
    return _pieces(head, deltas, tail)


def chat_body() -> bytes:
    """An answer of the Chat Completions API."""
    message = {"role": "assistant", "content": ANSWER}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = _usage(ANSWER_TOKENS)
    return _dumps({**_chat("chat.completion"), "choices": [choice], "usage": usage})


def chat_events(tokens: int) -> list[bytes]:
    """Its stream with the usage at its end, as the pieces in which it is sent."""
    tail = (
        _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        + _chunk([], _usage(tokens))
        + b"data: [DONE]\n\n"
    )
    head = _chunk([_delta({"role": "assistant", "content": ""})])
    return _pieces(head, [_chunk([_delta({"content": t})]) for t in _texts(tokens)], tail)


def _message(content: list[Json], stop_reason: str | None) -> Json:
    return {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
    }


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _dumps({"type": kind, **fields}))


def _chat(kind: str) -> Json:
    return {"id": "chatcmpl-bench", "object": kind, "created": 1_700_000_000, "model": "trivial"}


def _chunk(choices: list[Json], usage: Json | None = None) -> bytes:
    body: Json = {**_chat("chat.completion.chunk"), "choices": choices}
    if usage is not None:
        body["usage"] = usage
    return b"data: %s\n\n" % _dumps(body)


def _delta(delta: Json) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": None}


def _usage(tokens: int) -> Json:
    return {"prompt_tokens": 24, "completion_tokens": tokens, "total_tokens": 24 + tokens}


def _texts(tokens: int) -> list[str]:
    return [WORDS[at % len(WORDS)] for at in range(tokens)]


def _pieces(head: bytes, tokens: list[bytes], tail: bytes) -> list[bytes]:
    return [head + tokens[0], *tokens[1:-1], tokens[-1] + tail]


def _dumps(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
