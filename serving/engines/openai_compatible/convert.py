"""An OpenAI-compatible server's answer as a completion, or piece by piece as chunks."""

import json
import math
import time
import uuid
from typing import Any

from pydantic import ValidationError

from serving.costs.estimate import estimate_request_tokens, estimate_tokens
from serving.engines.openai_compatible.body import PROVIDER
from serving.engines.openai_compatible.errors import of_body
from serving.engines.openai_compatible.reply import (
    CallReply,
    ChoiceReply,
    LogprobsReply,
    Reply,
    UsageReply,
)
from serving.errors import TierProtocolError
from serving.wire.chat import ChatRequest
from serving.wire.completion import (
    Choice,
    Completion,
    FinishReason,
    TokenLogprob,
    ToolCallPart,
    TopLogprob,
    Usage,
)
from serving.wire.render import LEAST_LOGPROB

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "function_call",
    # Names that other servers use behind the same interface.
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "safety": "content_filter",
}
_FAILED = frozenset({"error", "abort", "cancelled", "canceled"})


def read(tier: str, data: object) -> Reply:
    """`TierError` where the server reports an error in a 200, `TierProtocolError` where `data` is
    not the JSON of an answer. Text is what came without JSON's content type.
    """
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            raise TierProtocolError(f"{tier}: the answer is not JSON") from None
    if isinstance(data, dict) and data.get("error") and not data.get("choices"):
        raise of_body(tier, data["error"])
    try:
        return Reply.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "answer"
        raise TierProtocolError(f"{tier}: {where}: {first['msg']}") from None


def completion(tier: str, model: str, data: object, request: ChatRequest | None) -> Completion:
    """A whole answer. A usage that the server left out is estimated; of the output alone where the
    request is not known any more.
    """
    reply = read(tier, data)
    choices = tuple(_choice(tier, model, choice) for choice in reply.choices)
    if not choices:
        raise TierProtocolError(f"{tier}: the answer has no choices")
    written = [t for c in choices for t in _texts(c)]
    tokens = [len(c.logprobs) for c in choices if c.logprobs is not None]
    counted = sum(tokens) if len(tokens) == len(choices) else None
    return Completion(
        id=reply.id or new_id(),
        created=int(reply.created or time.time()),
        model=reply.model or model,
        choices=choices,
        usage=usage(reply.usage) or estimated(request, "".join(written), counted),
        system_fingerprint=reply.system_fingerprint,
    )


def _choice(tier: str, model: str, choice: ChoiceReply) -> Choice:
    message = choice.message
    if message is None:
        raise TierProtocolError(f"{tier}: a choice has no message")
    calls = tuple(tool_call(tier, call, i) for i, call in enumerate(message.tool_calls))
    return Choice(
        index=choice.index,
        content=message.text,
        tool_calls=calls,
        finish_reason=finish(tier, choice.finish_reason, called=bool(calls)),
        refusal=message.refusal,
        reasoning=message.thoughts,
        logprobs=logprobs(choice.logprobs),
        provider_content=provider_content(model, message.unknown),
    )


def _texts(choice: Choice) -> list[str]:
    calls = [f"{c.name}{c.arguments}" for c in choice.tool_calls]
    return [choice.content or "", choice.reasoning or "", choice.refusal or "", *calls]


def tool_call(tier: str, call: CallReply, place: int) -> ToolCallPart:
    """A whole call; one without an id gets one, since the client must answer to it."""
    if call.function is None or not call.function.name:
        raise TierProtocolError(f"{tier}: a tool call names no function")
    return ToolCallPart(place, call.id or new_call_id(), call.function.name, arguments(call))


def arguments(call: CallReply) -> str:
    given = None if call.function is None else call.function.arguments
    return given if isinstance(given, str) else "" if given is None else json.dumps(given)


def finish(tier: str, reason: str | None, *, called: bool) -> FinishReason:
    """`TierProtocolError` where the server says that it gave the answer up."""
    if reason in _FAILED:
        raise TierProtocolError(f"{tier}: the server gave the answer up ({reason})")
    if reason is None:
        return "tool_calls" if called else "stop"
    return _FINISH.get(reason.lower(), "stop")


def logprobs(reply: LogprobsReply | None) -> tuple[TokenLogprob, ...] | None:
    """None where there are none."""
    if reply is None or not reply.content:
        return None
    return tuple(
        TokenLogprob(
            t.token,
            _logprob(t.logprob),
            tuple(TopLogprob(a.token, _logprob(a.logprob)) for a in t.top_logprobs),
        )
        for t in reply.content
    )


def _logprob(value: float) -> float:
    """Finite and not above zero, whatever rounding or an infinity made of it."""
    return LEAST_LOGPROB if math.isnan(value) else max(LEAST_LOGPROB, min(value, 0.0))


def provider_content(model: str, fields: dict[str, Any]) -> dict[str, Any] | None:
    """Message fields that we do not know, to be sent back unchanged to the same model."""
    return {"provider": PROVIDER, "model": model, "content": [fields]} if fields else None


def usage(reply: UsageReply | None) -> Usage | None:
    """None where the server did not count."""
    if reply is None or reply.prompt_tokens is None:
        return None
    prompt, output = reply.prompt_tokens_details, reply.completion_tokens_details
    return Usage(
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cached_tokens=prompt.cached_tokens if prompt else 0,
        cache_write_tokens=prompt.cache_write_tokens if prompt else 0,
        reasoning_tokens=output.reasoning_tokens if output else 0,
    )


def estimated(request: ChatRequest | None, written: str, tokens: int | None) -> Usage:
    """What an answer used by its text, or by its `tokens` where they came one by one."""
    output = estimate_tokens(written) if tokens is None else tokens
    prompt = 0 if request is None else estimate_request_tokens(request)
    return Usage(prompt, output, estimated=True)


def new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def new_call_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"
