"""GET /v1/models: every name that a client may send as `model`."""

import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.api.chat import Endpoint
from serving.api.desk import Desk, json_response
from serving.api.exchange import Exchange
from serving.errors import NotFound
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.wire.models import ModelCard, model_list

Prices = Mapping[str, Mapping[str, str] | None]


def models_endpoint(desk: Desk) -> Endpoint:
    body = model_list(desk.service.models)

    async def models(request: Request) -> Response:
        _authorised(desk, request)
        return json_response(body)

    return models


def model_endpoint(desk: Desk) -> Endpoint:
    cards = {card.id: card.wire() for card in desk.service.models}

    async def model(request: Request) -> Response:
        _authorised(desk, request)
        name = request.path_params["name"]
        if name not in cards:
            raise NotFound(
                f"The model '{name[:64]}' does not exist.", param="model", code="model_not_found"
            )
        return json_response(cards[name])

    return model


def model_cards(settings: Settings, prices: Prices) -> tuple[ModelCard, ...]:
    """The cascade, each tier, each embedder, each alias and each embedder's model. `prices` holds a
    tier's or embedder's `Price.describe()`; one that is missing or None has no known price.
    """
    created = int(time.time())
    tiers = {tier.name: _tier(tier, prices.get(tier.name)) for tier in settings.tiers}
    auto = {"kind": "cascade", "mode": settings.mode, "tiers": list(tiers)}
    details = {"auto": auto, **tiers}
    details |= {e.name: _embedder(e, prices.get(e.name)) for e in settings.embedders}
    for alias, name in settings.aliases.items():
        details.setdefault(alias, {"kind": "alias", "of": name})
    for embedder in settings.embedders:
        details.setdefault(embedder.model, {"kind": "alias", "of": embedder.name})
    return tuple(ModelCard(name, created, details=about) for name, about in details.items())


def _tier(tier: TierSettings, price: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "kind": "tier",
        "model": tier.model,
        "effort": tier.effort,
        "engine": tier.backend.engine,
        "context_tokens": tier.context_tokens,
        "max_output_tokens": tier.output.max_tokens,
        "price": None if price is None else dict(price),
        "simulated": tier.simulated,
    }


def _embedder(embedder: TierSettings, price: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "kind": "embedder",
        "model": embedder.model,
        "engine": embedder.backend.engine,
        "context_tokens": embedder.context_tokens,
        "price": None if price is None else dict(price),
        "simulated": embedder.simulated,
    }


def _authorised(desk: Desk, request: Request) -> None:
    caller = desk.keyring.identify(request.headers)
    Exchange.of(request.scope).caller = caller
    caller.require("models")
