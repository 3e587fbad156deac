"""POST /tokenize and /detokenize: a tier's own tokens, as vLLM's server tells them."""

from typing import NoReturn

from starlette.requests import Request
from starlette.responses import Response

from serving.api.answers import in_time
from serving.api.calls import check_allowed, plain_call, unknown_model
from serving.api.chat import Endpoint
from serving.api.desk import Desk, json_response
from serving.api.disconnect import unless_gone
from serving.api.exchange import Exchange
from serving.api.validation import parse_as
from serving.engines.embedding import check_length
from serving.errors import InvalidRequest
from serving.settings.keys import Scope
from serving.settings.tiers import MockEngine, TierSettings
from serving.wire.chat import NO_OPTIONS
from serving.wire.tokenize import DetokenizeRequest, TokenizeRequest

SCOPES: tuple[Scope, ...] = ("chat", "embeddings")


def tokenize_endpoint(desk: Desk) -> Endpoint:
    async def tokenize(request: Request) -> Response:
        exchange = Exchange.of(request.scope)
        asked = parse_as(TokenizeRequest, await desk.admit(request, exchange, *SCOPES))
        tier = chosen(asked.model, exchange, desk, back=False)
        param = "prompt" if asked.messages is None else "messages"
        check_length(_text(asked), "the text", param, tier)
        call = plain_call(NO_OPTIONS, exchange, desk.settings)
        work = desk.service.tokenizers[tier.name].tokenize(asked, call)
        found = await unless_gone(request.receive, in_time(work, call))
        return json_response(found.wire(tier.name))

    return tokenize


def detokenize_endpoint(desk: Desk) -> Endpoint:
    async def detokenize(request: Request) -> Response:
        exchange = Exchange.of(request.scope)
        asked = parse_as(DetokenizeRequest, await desk.admit(request, exchange, *SCOPES))
        tier = chosen(asked.model, exchange, desk, back=True)
        call = plain_call(NO_OPTIONS, exchange, desk.settings)
        work = desk.service.tokenizers[tier.name].detokenize(asked, call)
        text = await unless_gone(request.receive, in_time(work, call))
        return json_response({"prompt": text, "stepwell": {"tier": tier.name}})

    return detokenize


def chosen(model: str, exchange: Exchange, desk: Desk, *, back: bool) -> TierSettings:
    """The tier or embedder whose tokens are meant; of `auto` the first tier that can tell. `back`:
    from tokens to text, which a mock can't. What is found is said in the answer's headers, too.
    """
    settings, caller = desk.settings, exchange.caller
    assert caller is not None
    name = settings.aliases.get(model, model)
    everyone = (*settings.tiers, *settings.embedders)
    known = [t for t in everyone if t.name in desk.service.tokenizers]
    able = [t for t in known if not (back and isinstance(t.backend, MockEngine))]
    if name == "auto":
        tier = next((t for t in able if t in settings.tiers), settings.tiers[0])
    else:
        own = (t for t in settings.tiers if t.name == name)
        tier = next(own, None) or settings.embedder(name) or _missing(model)
    if tier in settings.tiers:
        caller.require("chat")
        check_allowed(tier.name, caller, settings)
    else:
        caller.require("embeddings")
    if tier not in able:
        raise InvalidRequest(
            f"The tokens of '{tier.name}' can't be told here. Those that can: "
            f"{', '.join(t.name for t in able) or 'none'}.",
            param="model",
            code="unsupported_model",
        )
    exchange.headers["x-stepwell-tier"] = tier.name
    if tier.simulated:
        exchange.headers["x-stepwell-simulated"] = "true"
    return tier


def _missing(model: str) -> NoReturn:
    raise unknown_model(model)


def _text(asked: TokenizeRequest) -> str:
    return asked.prompt or "".join(message.text for message in asked.messages or ())
