"""POST /v1/embeddings."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from serving.api.answers import in_time
from serving.api.calls import plain_call, unknown_model
from serving.api.chat import Endpoint
from serving.api.desk import Desk
from serving.api.disconnect import unless_gone
from serving.api.exchange import Exchange
from serving.api.figures import trace_wire
from serving.api.prompt_log import PromptLog
from serving.api.validation import parse_as
from serving.errors import NotFound
from serving.settings.root import Settings
from serving.wire.embeddings import EmbeddingBody, Embeddings, render_embeddings

WHOLE_BYTES = 262_144
"""Vectors of that many bytes together leave in one piece; more are rendered as they leave."""


def embeddings_endpoint(desk: Desk) -> Endpoint:
    async def embeddings(request: Request) -> Response:
        exchange = Exchange.of(request.scope)
        asked = parse_as(EmbeddingBody, await desk.admit(request, exchange, "embeddings"))
        exchange.explain = asked.options.explain
        name = resolved(asked.model, desk.settings)
        call = plain_call(asked.options, exchange, desk.settings)
        exchange.traces = (call.trace,)
        PromptLog(desk.settings.log, exchange.request_id).embedded(asked.input)
        work = in_time(desk.service.embedders[name].embed(asked.request(), call), call)
        made = await unless_gone(request.receive, work)
        call.trace.tier = name
        return _response(made, asked, exchange)

    return embeddings


def resolved(model: str, settings: Settings) -> str:
    """The name of the embedder that `model` means: its own name, an alias of it, or its model's."""
    name = settings.aliases.get(model, model)
    embedder = settings.embedder(name)
    if embedder is not None:
        return embedder.name
    if name == "auto" or any(name == tier.name for tier in settings.tiers):
        others = ", ".join(e.name for e in settings.embedders) or "none is configured"
        raise NotFound(
            f"The model '{model[:64]}' makes no embeddings. Embedders: {others}.",
            param="model",
            code="model_not_found",
        )
    raise unknown_model(model)


def _response(embeddings: Embeddings, asked: EmbeddingBody, exchange: Exchange) -> Response:
    figures = exchange.settle()
    route = trace_wire(exchange.request_id, exchange.traces) if exchange.explain else None
    pieces = render_embeddings(
        embeddings,
        model=figures.tier or embeddings.model,
        encoding=asked.encoding,
        stepwell=figures.wire(),
        more=None if route is None else {"stepwell": route},
    )
    if sum(map(len, embeddings.vectors)) <= WHOLE_BYTES:
        return Response(b"".join(pieces), media_type="application/json")

    async def leaving() -> AsyncIterator[bytes]:
        for piece in pieces:  # each is sent before the next one is made
            yield piece

    return StreamingResponse(leaving(), media_type="application/json")
