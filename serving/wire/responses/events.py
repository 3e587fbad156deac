"""A stream of chunks as the events of a response, rendered to bytes."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from serving.wire.completion import Assembler, Chunk, ToolCallPart, Usage
from serving.wire.render import dumps
from serving.wire.responses.output import (
    Key,
    call_item,
    logprobs,
    message_item,
    output_items,
    reasoning_item,
    refusal_part,
    text_part,
)
from serving.wire.responses.render import Head, ended, response_usage

KINDS = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.reasoning_text": "text",
}
"""Events of parts, and the field of the `done` event that holds the whole text."""


class ResponseEvents:
    """The events of one response: `piece` for its chunks, `last` for what ends its items, then
    `end` with the body that `final` holds, or `failed`. `model` is asked once, at the end.
    """

    def __init__(
        self, head: Head, model: Callable[[Chunk], str], *, top_logprobs: int | None
    ) -> None:
        self._head = head
        self._answer_id = head.id.removeprefix("resp_")
        self._model = model
        self._top = top_logprobs
        self._number = -1
        self._assembler = Assembler()
        self._first: Chunk | None = None
        self._order: list[Key] = []
        self._parts: dict[Key, list[str]] = {}  # the kinds of a message's parts, in order
        self._closed: set[Key] = set()
        self.final: dict[str, Any] = {}

    def piece(self, source: int, chunk: Chunk) -> bytes:  # noqa: ARG002  # one stream
        out = self._begin(chunk)
        self._assembler.add(chunk)
        if chunk.reasoning:
            out += self._said(("reasoning", 0), "response.reasoning_text", chunk.reasoning)
        if chunk.content:
            tokens = logprobs(chunk.logprobs, self._top) or []
            message: Key = ("message", 0)
            out += self._said(message, "response.output_text", chunk.content, logprobs=tokens)
        if chunk.refusal:
            out += self._said(("message", 0), "response.refusal", chunk.refusal)
        for call in chunk.tool_calls:
            out += self._called(call)
        return b"".join(out)

    def last(self, usage: Usage, figures: Mapping[str, Any], trace: object | None) -> bytes:
        completion = self._assembler.completion()
        choice = completion.first
        items = output_items(choice, self._answer_id, top_logprobs=self._top)
        out: list[bytes] = []
        for key in items:
            if key not in self._order:  # an answer that says nothing
                out += self._open(key)
                out += self._open_part(key, "response.output_text")
        for key in self._order:
            out += self._close(key, items[key])
        assert self._first is not None, "a chunk came before the end"
        known = ended(choice, (items[key] for key in self._order), at=int(time.time()))
        known |= {"model": self._model(self._first), "usage": response_usage(usage, figures)}
        if trace is not None:
            known["stepwell"] = trace
        self.final = self._head.body(**known)
        return b"".join(out)

    def end(self, body: dict[str, Any]) -> bytes:
        """`response.completed` or `response.incomplete`."""
        return self._event(f"response.{body['status']}", response=body)

    def failed(self, error: dict[str, Any], trace: object | None) -> bytes:
        """`response.failed`, with what had come by then; before it the beginning where that has
        not left.
        """
        out = self._begin(None)
        items: list[dict[str, Any]] = []
        if self._order:
            choice = self._assembler.completion().first
            found = output_items(choice, self._answer_id, top_logprobs=self._top, whole=False)
            items = [found[key] for key in self._order if key in found]
        explained = {} if trace is None else {"stepwell": trace}
        self.final = self._head.body("failed", error=error, output=items, **explained)
        out.append(self._event("response.failed", response=self.final))
        return b"".join(out)

    def _begin(self, chunk: Chunk | None) -> list[bytes]:
        if self._number >= 0:
            return []
        self._first = chunk
        body = self._head.body("in_progress")
        begun = ("response.created", "response.in_progress")
        return [self._event(name, response=body) for name in begun]

    def _said(self, key: Key, kind: str, text: str, **more: Any) -> list[bytes]:
        out = self._open(key) + self._open_part(key, kind)
        where = {**self._where(key), "content_index": len(self._parts[key]) - 1}
        return [*out, self._event(f"{kind}.delta", **where, delta=text, **more)]

    def _called(self, piece: ToolCallPart) -> list[bytes]:
        key: Key = ("call", piece.index)
        out = self._open(key, piece)
        if piece.arguments:
            kind = "response.function_call_arguments.delta"
            out.append(self._event(kind, **self._where(key), delta=piece.arguments))
        return out

    def _open(self, key: Key, call: ToolCallPart | None = None) -> list[bytes]:
        if key in self._order:
            return []
        self._order.append(key)
        self._parts[key] = []
        item = _begun(key, self._answer_id, call)
        index = len(self._order) - 1
        return [self._event("response.output_item.added", output_index=index, item=item)]

    def _open_part(self, key: Key, kind: str) -> list[bytes]:
        parts = self._parts[key]
        if parts and parts[-1] == kind:
            return []
        parts.append(kind)
        where = {**self._where(key), "content_index": len(parts) - 1}
        return [self._event("response.content_part.added", **where, part=_part(kind))]

    def _close(self, key: Key, item: dict[str, Any]) -> list[bytes]:
        where = self._where(key)
        out: list[bytes] = []
        if key[0] == "call":
            kind = "response.function_call_arguments.done"
            done = {"name": item["name"], "arguments": item["arguments"]}
            out.append(self._event(kind, **where, **done))
        for n, part in enumerate(item.get("content", ())):
            at = {**where, "content_index": n}
            out += self._close_part(at, part)
        added = {"output_index": where["output_index"], "item": item}
        return [*out, self._event("response.output_item.done", **added)]

    def _close_part(self, at: Mapping[str, Any], part: dict[str, Any]) -> list[bytes]:
        kind = f"response.{part['type']}"
        done: dict[str, Any] = {KINDS[kind]: part[KINDS[kind]]}
        if kind == "response.output_text":
            done["logprobs"] = part.get("logprobs", [])
        return [
            self._event(f"{kind}.done", **at, **done),
            self._event("response.content_part.done", **at, part=part),
        ]

    def _where(self, key: Key) -> dict[str, Any]:
        index = self._order.index(key)
        return {"output_index": index, "item_id": _begun(key, self._answer_id, None)["id"]}

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        data = dumps({"type": kind, "sequence_number": self._number, **fields})
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def _begun(key: Key, answer_id: str, call: ToolCallPart | None) -> dict[str, Any]:
    """An item as it stands before it says anything."""
    match key:
        case ("reasoning", _):
            return reasoning_item(answer_id, None)
        case ("message", _):
            return message_item(answer_id, "in_progress", [])
    opened = ToolCallPart(key[1], call.id if call else None, call.name if call else None)
    return call_item(answer_id, opened, "in_progress")


def _part(kind: str) -> dict[str, Any]:
    if kind == "response.refusal":
        return refusal_part("")
    if kind == "response.output_text":
        return text_part("", [])
    return {"type": "reasoning_text", "text": ""}
