"""Fits a request to a tier: its model, effort and output policy, and only what it can honour."""

from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from serving.backend import Ability, Backend, Call, ChunkStream
from serving.errors import InvalidRequest
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest, ContentPart, Message, NamedToolChoice
from serving.wire.completion import Completion

JSON_INSTRUCTION = "Answer with one JSON object and nothing else."

_FITTED = frozenset(
    {"model", "messages", "stream", "stream_options"}
    | {"max_tokens", "max_completion_tokens", "stepwell"}
)
"""What every adapter takes, and what Fit sets or keeps to itself."""

_HONOURED_HERE = frozenset({"metadata", "service_tier", "user"})
"""What Stepwell honours itself, so a tier that does not take it drops nothing."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The request as the tier gets it; `dropped` names what it asked for and the tier cannot."""

    request: ChatRequest
    dropped: tuple[str, ...] = ()


class Fit:
    """A Backend whose `inner` sees requests that it can honour. Dropped parameters stand in the
    call's trace; `InvalidRequest` where the tier is configured to refuse instead.
    """

    def __init__(self, inner: Backend, *, tier: TierSettings, ability: Ability) -> None:
        self._inner = inner
        self._tier = tier
        self._ability = ability

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        return await self._inner.complete(self._fit(request, call), call)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        async with aclosing(self._inner.stream(self._fit(request, call), call)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _fit(self, request: ChatRequest, call: Call) -> ChatRequest:
        fitted = fit(request, self._tier, self._ability)
        if fitted.dropped:
            call.trace.drop(fitted.dropped)
        return fitted.request


def fit(request: ChatRequest, tier: TierSettings, ability: Ability) -> Fitted:
    """Pure; messages are shared with `request`, not copied, unless an instruction is added.

    The output limit is the lower of the client's and the tier's, always as
    `max_completion_tokens`. A tier's effort applies where the client set none that reaches it. The
    tier's concise instruction, and one for JSON where the tier takes no `response_format`, end the
    leading system message: the same text for every request, after whatever the client may cache.
    `InvalidRequest` where the tier lacks what cannot be dropped without changing what was asked
    (tools, images, several choices, a forced tool choice, a JSON Schema), or where the tier is to
    refuse instead of dropping.
    """
    _check_needs(request, tier, ability)
    unfit = {n: v for n, v in _asked(request) if not _honours(ability, n, v)}
    dropped = tuple(sorted(n for n, v in unfit.items() if _is_loss(n, v)))
    if dropped and tier.on_unsupported == "refuse":
        raise InvalidRequest(
            f"tier {tier.name!r} does not support {', '.join(dropped)}",
            param=dropped[0],
            code="unsupported_parameter",
        )
    limit = tier.output.max_tokens
    changed: dict[str, Any] = {
        "model": tier.model,
        "max_completion_tokens": min(request.output_limit or limit, limit),
    }
    if tier.effort is not None and (
        request.reasoning_effort is None or "reasoning_effort" in unfit
    ):
        changed["reasoning_effort"] = tier.effort
    messages = request.messages
    for text in _instructions(tier, dropped):
        messages = changed["messages"] = with_instruction(messages, text)
    return Fitted(
        _copy(request, changed, {"max_tokens", "stepwell", *unfit} - changed.keys()), dropped
    )


def _asked(request: ChatRequest) -> Iterator[tuple[str, Any]]:
    """The parameters that the client set, unknown ones too."""
    for name in request.model_fields_set:
        if name in ChatRequest.model_fields and name not in _FITTED:
            yield name, getattr(request, name)
    yield from (request.model_extra or {}).items()


def _copy(request: ChatRequest, changed: dict[str, Any], removed: set[str]) -> ChatRequest:
    """A shallow copy with other values and without some parameters, as if they had never been set.
    Not by `model_construct`: a client's parameter may be called like one of its arguments.
    """
    unset = removed & ChatRequest.model_fields.keys()
    copy = request.model_copy(update=changed | dict.fromkeys(unset))
    copy.model_fields_set.difference_update(removed)
    for name in removed - unset:
        (copy.model_extra or {}).pop(name, None)
    return copy


def _check_needs(request: ChatRequest, tier: TierSettings, ability: Ability) -> None:
    forced = request.tool_choice == "required" or isinstance(request.tool_choice, NamedToolChoice)
    wanted = request.response_format
    schema = wanted is not None and wanted.type == "json_schema"
    for what, param, lacking in (
        ("tools", "tools", bool(request.tools) and not ability.tools),
        ("a forced tool choice", "tool_choice", forced and not ability.forced_tool_choice),
        ("JSON schemas", "response_format", schema and not ability.json_schema),
        ("several choices", "n", request.choices_asked > 1 and not ability.multiple_choices),
        ("images", "messages", not ability.images and _has_image(request)),
    ):
        if lacking:
            raise InvalidRequest(
                f"tier {tier.name!r} does not support {what}",
                param=param,
                code="unsupported_parameter",
            )


def _has_image(request: ChatRequest) -> bool:
    return any(
        part.type == "image_url"
        for message in request.messages
        if isinstance(message.content, list)
        for part in message.content
    )


def _honours(ability: Ability, name: str, value: Any) -> bool:
    if name in {"logprobs", "top_logprobs"}:
        return ability.logprobs
    if name in {"tools", "tool_choice"}:
        return ability.tools
    if name == "n":
        return ability.multiple_choices
    if name == "response_format" and value is not None and value.type == "json_schema":
        return True
    return ability.params is None or name in ability.params


def _is_loss(name: str, value: Any) -> bool:
    """Whether the client asked for something by it that it does not get. What remains of tools and
    choices after `_check_needs` asks for nothing.
    """
    if value is None or name in _HONOURED_HERE or name in {"tools", "tool_choice", "n"}:
        return False
    if name in {"logprobs", "top_logprobs"}:
        return bool(value)
    return not (name == "response_format" and value.type == "text")


def _instructions(tier: TierSettings, dropped: tuple[str, ...]) -> list[str]:
    concise = [tier.output.instruction] if tier.output.concise else []
    return concise + ([JSON_INSTRUCTION] if "response_format" in dropped else [])


def with_instruction(messages: list[Message], text: str) -> list[Message]:
    """`text` at the end of the last of the leading system messages, else in one of its own in
    front; one message only is what every chat template takes.
    """
    leading = 0
    while leading < len(messages) and messages[leading].role in {"system", "developer"}:
        leading += 1
    if leading == 0:
        return [Message.model_construct(role="system", content=text), *messages]
    last = messages[leading - 1]
    content: str | list[ContentPart]
    if isinstance(last.content, list):
        content = [*last.content, ContentPart.model_construct(type="text", text=text)]
    else:
        content = f"{last.content}\n\n{text}" if last.content else text
    extended = last.model_copy(update={"content": content})
    return [*messages[: leading - 1], extended, *messages[leading:]]
