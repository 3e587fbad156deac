"""Anthropic's message as our completion."""

from collections.abc import Mapping, Sequence
from typing import Any

from serving.errors import TierProtocolError
from serving.hosted.translate.arguments import arguments_text
from serving.hosted.translate.replay import PROVIDER
from serving.hosted.translate.usage import to_usage
from serving.wire.completion import Choice, Completion, FinishReason, ToolCallPart

FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    # A paused turn is not finished, and no client of ours can resume it.
    "pause_turn": "length",
    "refusal": "content_filter",
}
DECLINED = "The model declined to answer."


def to_completion(message: Mapping[str, Any], created: int) -> Completion:
    """`message` is the body of a `messages` answer; `created` Unix seconds, which it lacks.
    `TierProtocolError` where it is no such body.
    """
    try:
        model, usage = str(message["model"]), to_usage(message["usage"], message.get("diagnostics"))
        stop, details = message["stop_reason"], message.get("stop_details")
        choice = to_choice(message["content"], stop, details, model)
        return Completion(str(message["id"]), created, model, (choice,), usage)
    except (KeyError, TypeError, AttributeError) as error:
        raise TierProtocolError(f"the answer is no message: {error!r}") from None


def to_choice(
    content: Sequence[Mapping[str, Any]],
    stop_reason: str | None,
    stop_details: Mapping[str, Any] | None,
    model: str,
) -> Choice:
    texts = [b["text"] for b in content if b["type"] == "text"]
    thoughts = [b["thinking"] for b in content if b["type"] == "thinking"]
    uses = [b for b in content if b["type"] == "tool_use"]
    calls = tuple(
        ToolCallPart(i, b["id"], b["name"], arguments_text(b["input"])) for i, b in enumerate(uses)
    )
    return Choice(
        content="".join(texts) if texts else None,
        tool_calls=calls,
        finish_reason=finish_reason(stop_reason),
        refusal=refusal_text(stop_details) if stop_reason == "refusal" else None,
        reasoning="".join(thoughts) or None,
        provider_content=provider_content(content, model),
    )


def finish_reason(stop_reason: str | None) -> FinishReason:
    """`TierProtocolError` where the message did not end; an unknown reason is an ordinary end."""
    if not isinstance(stop_reason, str):
        raise TierProtocolError("the answer has no stop_reason")
    return FINISH.get(stop_reason, "stop")


def refusal_text(details: Mapping[str, Any] | None) -> str:
    """What to tell the client of a refusal, its explanation and category where there are any."""
    explanation = (details or {}).get("explanation")
    category = (details or {}).get("category")
    text = explanation if isinstance(explanation, str) and explanation else DECLINED
    return f"{text} ({category})" if isinstance(category, str) and category else text


def provider_content(content: Sequence[Mapping[str, Any]], model: str) -> dict[str, Any] | None:
    """The blocks as Claude wrote them, to be sent back unchanged, where the OpenAI form cannot
    carry them: thinking with its signature, or anything beyond text and tool calls.
    """
    if all(b["type"] in {"text", "tool_use"} and not b.get("citations") for b in content):
        return None
    return {"provider": PROVIDER, "model": model, "content": [dict(b) for b in content]}
