"""From a checked body to a `Call`: names resolved, the key's limits applied, tags collected."""

from collections.abc import Mapping
from dataclasses import replace

from serving.api.auth import Caller
from serving.api.exchange import Exchange
from serving.backend import Call, Trace
from serving.errors import Forbidden, InvalidRequest, NotFound
from serving.settings.root import Settings
from serving.wire.chat import ChatRequest, StepwellOptions

MAX_TAG_CHARS = 128
FLEX = "flex"
"""The `service_tier` of a request that can wait for idle capacity."""


def call_for(
    request: ChatRequest, exchange: Exchange, settings: Settings
) -> tuple[ChatRequest, Call]:
    """The request as the backend shall see it (its `model` is `auto` or a tier, its output within
    the key's limit) and who asks for it, until when. Raises `ClientError`.
    """
    caller = exchange.caller
    assert caller is not None, "a request is authenticated before it becomes a call"
    request = _resolved(request, settings)
    request = _within(request, caller)
    call = plain_call(request.options, exchange, settings, request.metadata)
    call = replace(call, max_tier=_max_tier(request, caller, settings))
    if request.service_tier != FLEX:
        return request, call
    return request, replace(
        call,
        urgency="offline",
        service="flex",
        deadline=exchange.started + _flex_s(request.options, settings),
    )


def _flex_s(options: StepwellOptions, settings: Settings) -> float:
    """It waits longer than others would, unless the client says for how long."""
    own = options.deadline_ms
    return settings.flex_deadline_s if own is None else min(settings.flex_deadline_s, own / 1_000)


def plain_call(
    options: StepwellOptions,
    exchange: Exchange,
    settings: Settings,
    metadata: Mapping[str, str] | None = None,
) -> Call:
    """Who asks, until when, with the tags of `options` and of OpenAI's `metadata`."""
    caller = exchange.caller
    assert caller is not None, "a request is authenticated before it becomes a call"
    deadline_s = settings.request_deadline_s
    if options.deadline_ms is not None:
        deadline_s = min(deadline_s, options.deadline_ms / 1_000)
    tags = metadata or {}
    return Call(
        request_id=exchange.request_id,
        tenant=caller.tenant,
        deadline=exchange.started + deadline_s,
        key_id=caller.key_id,
        feature=_tag(tags, "feature", options.feature),
        task=_tag(tags, "task", options.task),
        session=_tag(tags, "session", options.session),
        step=_tag(tags, "step", options.step),
        trace=Trace(started=exchange.started),
    )


def _resolved(request: ChatRequest, settings: Settings) -> ChatRequest:
    model = settings.aliases.get(request.model, request.model)
    if model != "auto" and all(model != tier.name for tier in settings.tiers):
        if settings.embedder(model) is not None:
            raise NotFound(
                f"The model '{model[:64]}' makes embeddings and does not chat.",
                param="model",
                code="model_not_found",
            )
        raise unknown_model(model)
    return request if model == request.model else request.model_copy(update={"model": model})


def unknown_model(model: str) -> NotFound:
    return NotFound(
        f"The model '{model[:64]}' does not exist. GET /v1/models lists those that do.",
        param="model",
        code="model_not_found",
    )


def _within(request: ChatRequest, caller: Caller) -> ChatRequest:
    """More output than the key allows is refused where it was asked for, and capped where the
    client left it open.
    """
    most = caller.limits.max_output_tokens
    if most is None:
        return request
    for name, asked in (
        ("max_completion_tokens", request.max_completion_tokens),
        ("max_tokens", request.max_tokens),
    ):
        if asked is not None and asked > most:
            raise InvalidRequest(
                f"Invalid value for '{name}': this API key allows {most} at most, got {asked}.",
                param=name,
                code="above_limit",
            )
    if request.output_limit is not None:
        return request
    return request.model_copy(update={"max_completion_tokens": most})


def _max_tier(request: ChatRequest, caller: Caller, settings: Settings) -> str | None:
    """The lower of what the key and the request allow; None where neither says."""
    order = [tier.name for tier in settings.tiers]
    asked, allowed = request.options.max_tier, caller.limits.max_tier
    if asked is not None and asked not in order:
        raise InvalidRequest(
            f"Invalid value for 'stepwell.max_tier': there is no such tier; "
            f"known: {', '.join(order)}.",
            param="stepwell.max_tier",
            code="invalid_value",
        )
    if request.model != "auto":
        check_allowed(request.model, caller, settings)
    bounds = [name for name in (asked, allowed) if name is not None]
    return min(bounds, key=order.index, default=None)


def check_allowed(tier: str, caller: Caller, settings: Settings) -> None:
    """`Forbidden` where the key's tiers end below this one."""
    order, allowed = [t.name for t in settings.tiers], caller.limits.max_tier
    if allowed is not None and order.index(tier) > order.index(allowed):
        raise Forbidden(f"This API key may use tiers up to '{allowed}'.", param="model")


def _tag(metadata: Mapping[str, str], name: str, own: str | None) -> str | None:
    """A tag of the ledger: the `stepwell` object's, else OpenAI's metadata's. None where empty."""
    tag, param = own, f"stepwell.{name}"
    if tag is None:
        tag, param = metadata.get(name), f"metadata.{name}"
    if not tag:
        return None
    if len(tag) > MAX_TAG_CHARS or not tag.isprintable():
        raise InvalidRequest(
            f"Invalid value for '{param}': a tag has at most {MAX_TAG_CHARS} characters, "
            f"all of them printable.",
            param=param,
            code="invalid_value",
        )
    return tag
