"""A completion as OpenAI's `chat.completion` JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from serving.wire.completion import Choice, Completion, TokenLogprob, ToolCallPart, Usage

LEAST_LOGPROB = -9999.0  # what OpenAI writes for a token of no measurable probability


def dumps(value: object) -> bytes:
    """Compact JSON. Half of a surrogate pair, which a tier may cut a character into, is no UTF-8;
    it leaves as the escape it came as.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def render_completion(
    completion: Completion,
    *,
    answer_id: str,
    model: str,
    top_logprobs: int | None,
    stepwell: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of a chat answer. `answer_id` and `model` are what the client shall see.
    `top_logprobs` is None where the client asked for no logprobs: those that the gate asked for
    stay inside.
    """
    return {
        "id": answer_id,
        "object": "chat.completion",
        "created": completion.created,
        "model": model,
        "choices": [_choice(choice, top_logprobs) for choice in completion.choices],
        "usage": render_usage(completion.usage, stepwell),
        "system_fingerprint": completion.system_fingerprint,
    }


def render_usage(usage: Usage, stepwell: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """OpenAI's usage object. `stepwell` is what Stepwell adds to it; a usage that the tier did not
    report is marked there.
    """
    wire: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    if stepwell is not None:
        marks = {"usage_estimated": True} if usage.estimated else {}
        wire["stepwell"] = {**stepwell, **marks}
    return wire


def total_usage(usages: Iterable[Usage]) -> Usage:
    """The sum; estimated where one part is."""
    all_of = list(usages)
    return Usage(
        prompt_tokens=sum(u.prompt_tokens for u in all_of),
        completion_tokens=sum(u.completion_tokens for u in all_of),
        cached_tokens=sum(u.cached_tokens for u in all_of),
        cache_write_tokens=sum(u.cache_write_tokens for u in all_of),
        cache_write_1h_tokens=sum(u.cache_write_1h_tokens for u in all_of),
        reasoning_tokens=sum(u.reasoning_tokens for u in all_of),
        estimated=any(u.estimated for u in all_of),
    )


def render_logprobs(
    tokens: tuple[TokenLogprob, ...] | None, top_logprobs: int | None
) -> dict[str, Any] | None:
    """OpenAI's logprobs object; None where the tier gave none or the client asked for none."""
    if tokens is None or top_logprobs is None:
        return None
    content = [
        {
            **_token(t.token, t.logprob),
            "top_logprobs": [_token(a.token, a.logprob) for a in t.top[:top_logprobs]],
        }
        for t in tokens
    ]
    return {"content": content, "refusal": None}


def finite(logprob: float) -> float:
    """JSON has no infinity and no NaN."""
    return logprob if logprob >= LEAST_LOGPROB else LEAST_LOGPROB  # noqa: FURB136  # max keeps NaN


def render_tool_call(call: ToolCallPart) -> dict[str, Any]:
    function = {"name": call.name or "", "arguments": call.arguments}
    return {"id": call.id or f"call_{call.index}", "type": "function", "function": function}


def _token(token: str, logprob: float) -> dict[str, Any]:
    raw = list(token.encode("utf-8", "surrogatepass"))
    return {"token": token, "logprob": finite(logprob), "bytes": raw}


def _choice(choice: Choice, top_logprobs: int | None) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.content,
        "refusal": choice.refusal,
    }
    if choice.reasoning is not None:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = [render_tool_call(call) for call in choice.tool_calls]
    if choice.provider_content is not None:
        message["provider_content"] = choice.provider_content
    return {
        "index": choice.index,
        "message": message,
        "logprobs": render_logprobs(choice.logprobs, top_logprobs),
        "finish_reason": choice.finish_reason,
    }
