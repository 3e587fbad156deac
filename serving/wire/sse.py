"""A stream of chunks as OpenAI's server-sent events, rendered to bytes.

A stream is one event per chunk, at its end the usage where it is sent, then `[DONE]`. A stream that
failed ends with an event that has a top-level `error` (the official SDK raises on it) and no
`[DONE]`, so that no client takes it for whole.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from serving.wire.completion import Chunk, Usage
from serving.wire.render import dumps, render_logprobs, render_usage

HEARTBEAT = b": heartbeat\n\n"
DONE = b"data: [DONE]\n\n"


class Events(Protocol):
    """Renders what one response streams. `source` numbers the streams that it is made of."""

    def piece(self, source: int, chunk: Chunk) -> bytes:
        """The event of a chunk that has no usage."""
        ...

    def last(self, usage: Usage, figures: Mapping[str, Any], trace: object | None) -> bytes:
        """What follows the last piece: the usage event where the client gets one, and `[DONE]`."""
        ...


def event(value: object) -> bytes:
    return b"data: " + dumps(value) + b"\n\n"


class ChatEvents:
    """`chat.completion.chunk` events of one stream. `answer_id` and `model` are what the client
    shall see; `model` is asked once, for the first piece. `top_logprobs` is None where the client
    asked for no logprobs. With `usage` a last event has `choices: []` and the usage; the others
    have `usage: null` then. `service_tier` is None where the client need not be told.
    """

    def __init__(
        self,
        answer_id: str,
        model: Callable[[Chunk], str],
        *,
        top_logprobs: int | None = None,
        usage: bool = False,
        service_tier: str | None = None,
    ) -> None:
        self._id = answer_id
        self._model = model
        self._service_tier = service_tier
        self._top_logprobs = top_logprobs
        self._usage = usage
        self._tail = b',"usage":null}\n\n' if usage else b"}\n\n"
        self._plain_end = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        self._head = b""
        self._plain_heads: dict[int, bytes] = {}

    def piece(self, source: int, chunk: Chunk) -> bytes:  # noqa: ARG002  # a chat is one stream
        if not self._head:
            self._open(chunk)
        if _plain(chunk) and (chunk.logprobs is None or self._top_logprobs is None):
            return b"".join((self._plain_head(chunk.index), dumps(chunk.content), self._plain_end))
        choice = {
            "index": chunk.index,
            "delta": _delta(chunk),
            "logprobs": render_logprobs(chunk.logprobs, self._top_logprobs),
            "finish_reason": chunk.finish_reason,
        }
        return b"".join((self._head, b"[", dumps(choice), b"]", self._tail))

    def last(self, usage: Usage, figures: Mapping[str, Any], trace: object | None) -> bytes:
        if not self._usage:
            return DONE
        body = self._head + b'[],"usage":' + dumps(render_usage(usage, figures))
        if trace is not None:
            body += b',"stepwell":' + dumps(trace)
        return body + b"}\n\n" + DONE

    def _open(self, chunk: Chunk) -> None:
        head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": chunk.created,
            "model": self._model(chunk),
        }
        if self._service_tier is not None:
            head["service_tier"] = self._service_tier
        self._head = b"data: " + dumps(head)[:-1] + b',"choices":'

    def _plain_head(self, index: int) -> bytes:
        head = self._plain_heads.get(index)
        if head is None:
            head = self._head + b'[{"index":%d,"delta":{"content":' % index
            self._plain_heads[index] = head
        return head


def _plain(chunk: Chunk) -> bool:
    """Only text, as nearly all chunks are."""
    return (
        chunk.content is not None
        and chunk.role is None
        and chunk.finish_reason is None
        and not chunk.tool_calls
        and chunk.refusal is None
        and chunk.reasoning is None
        and chunk.provider_content is None
    )


def _delta(chunk: Chunk) -> dict[str, Any]:
    delta: dict[str, Any] = {}
    if chunk.role is not None:
        delta["role"] = chunk.role
    if chunk.content is not None:
        delta["content"] = chunk.content
    if chunk.refusal is not None:
        delta["refusal"] = chunk.refusal
    if chunk.reasoning is not None:
        delta["reasoning_content"] = chunk.reasoning
    if chunk.tool_calls:
        delta["tool_calls"] = [
            {
                "index": call.index,
                **({"id": call.id, "type": "function"} if call.id is not None else {}),
                "function": {
                    **({"name": call.name} if call.name is not None else {}),
                    "arguments": call.arguments,
                },
            }
            for call in chunk.tool_calls
        ]
    if chunk.provider_content is not None:
        delta["provider_content"] = chunk.provider_content
    return delta
