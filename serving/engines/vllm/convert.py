"""vLLM's values in ours."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from serving.wire.completion import (
    Choice,
    Completion,
    FinishReason,
    TokenLogprob,
    ToolCallPart,
    TopLogprob,
    Usage,
)

LEAST = -9_999.0
"""The logprob of a token that could not be drawn, as vLLM writes it."""


def to_completion(response: Any) -> Completion:
    """From vLLM's `ChatCompletionResponse`."""
    return Completion(
        id=response.id,
        created=response.created,
        model=response.model,
        choices=tuple(_choice(choice) for choice in response.choices),
        usage=_usage(response.usage),
        system_fingerprint=response.system_fingerprint,
    )


def _choice(choice: Any) -> Choice:
    message = choice.message
    return Choice(
        index=choice.index,
        content=message.content,
        tool_calls=tuple(
            ToolCallPart(i, call.id, call.function.name, call.function.arguments)
            for i, call in enumerate(message.tool_calls or ())
        ),
        finish_reason=finish_reason(choice.finish_reason),
        refusal=message.refusal,
        reasoning=message.reasoning,
        logprobs=None if choice.logprobs is None else _written(choice.logprobs.content or ()),
    )


def _written(content: Sequence[Any]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            t.token, t.logprob, tuple(TopLogprob(a.token, a.logprob) for a in t.top_logprobs)
        )
        for t in content
    )


def _usage(usage: Any) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens or 0,
        cached_tokens=0 if prompt is None else prompt.cached_tokens or 0,
        reasoning_tokens=0 if completion is None else completion.reasoning_tokens or 0,
    )


def finish_reason(said: str | None) -> FinishReason:
    """vLLM has reasons of its own (`repetition`); to a client the answer then stopped."""
    reasons: tuple[FinishReason, ...] = get_args(FinishReason)
    return next((r for r in reasons if r == said), "stop")


def logprobs(
    token_ids: Sequence[int], steps: Sequence[Mapping[int, Any] | None], alternatives: int
) -> tuple[TokenLogprob, ...]:
    """Of the tokens that one step of the engine produced: `steps` holds for each the logprobs of
    the token itself and of the likeliest ones, by token id, the token's own among the first.
    """
    found = []
    for token_id, step in zip(token_ids, steps, strict=True):
        own = None if step is None else step.get(token_id)
        if own is None:
            continue
        assert step is not None
        top = [_top(t) for i, t in enumerate(step.values()) if i < alternatives]
        found.append(TokenLogprob(own.decoded_token or "", max(own.logprob, LEAST), tuple(top)))
    return tuple(found)


def _top(found: Any) -> TopLogprob:
    return TopLogprob(found.decoded_token or "", max(found.logprob, LEAST))
