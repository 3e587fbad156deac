"""What a tier answered, as the items of a response's output."""

from collections.abc import Mapping
from typing import Any, Literal

from serving.wire.completion import Choice, FinishReason, TokenLogprob, ToolCallPart
from serving.wire.render import render_logprobs

Key = tuple[Literal["reasoning", "message", "call"], int]
"""Which item of an answer: a call by its index, the others by 0."""

ItemStatus = Literal["in_progress", "completed", "incomplete"]
INCOMPLETE: Mapping[FinishReason, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
"""Ends of an answer that is not whole, and the reason as it stands in a response."""


def output_items(
    choice: Choice, answer_id: str, *, top_logprobs: int | None, whole: bool = True
) -> dict[Key, dict[str, Any]]:
    """In order. `answer_id` makes their ids; the same answer has the same ones, however it came.
    Blocks for the provider stand on the last item. Not `whole`: it broke off.
    """
    status: ItemStatus = "completed"
    if not whole or choice.finish_reason in INCOMPLETE:
        status = "incomplete"
    found: dict[Key, dict[str, Any]] = {}
    if choice.reasoning:
        found["reasoning", 0] = reasoning_item(answer_id, choice.reasoning)
    if choice.content or choice.refusal or not choice.tool_calls:
        parts: list[dict[str, Any]] = []
        if choice.content or not choice.refusal:
            parts.append(text_part(choice.content or "", logprobs(choice.logprobs, top_logprobs)))
        if choice.refusal:
            parts.append(refusal_part(choice.refusal))
        found["message", 0] = message_item(answer_id, status, parts)
    for call in choice.tool_calls:
        found["call", call.index] = call_item(answer_id, call, status)
    if choice.provider_content is not None:
        found[list(found)[-1]]["provider_content"] = choice.provider_content
    return found


def reasoning_item(answer_id: str, text: str | None) -> dict[str, Any]:
    """`text` is None where it has only begun."""
    content = [] if text is None else [{"type": "reasoning_text", "text": text}]
    return {"id": f"rs_{answer_id}", "type": "reasoning", "summary": [], "content": content}


def message_item(answer_id: str, status: ItemStatus, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"msg_{answer_id}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": parts,
    }


def call_item(answer_id: str, call: ToolCallPart, status: ItemStatus) -> dict[str, Any]:
    return {
        "id": f"fc_{answer_id}{call.index:04x}",
        "type": "function_call",
        "status": status,
        "call_id": call.id or f"call_{call.index}",
        "name": call.name or "",
        "arguments": call.arguments,
    }


def text_part(text: str, tokens: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    return part if tokens is None else part | {"logprobs": tokens}


def refusal_part(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}


def logprobs(
    tokens: tuple[TokenLogprob, ...] | None, top_logprobs: int | None
) -> list[dict[str, Any]] | None:
    """None where the tier gave none or the client asked for none."""
    found = render_logprobs(tokens, top_logprobs)
    return None if found is None else found["content"]
