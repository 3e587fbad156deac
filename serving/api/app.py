"""The HTTP API as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.api.batches import add_work_routes
from serving.api.chat import chat_endpoint
from serving.api.completions import completions_endpoint
from serving.api.desk import Desk, error_response
from serving.api.embeddings import embeddings_endpoint
from serving.api.exchange import Exchange
from serving.api.front_door import FrontDoor
from serving.api.models import model_endpoint, models_endpoint
from serving.api.ops import health_endpoint, metrics_endpoint, ready_endpoint
from serving.api.responses import add_response_routes
from serving.api.service import Service
from serving.api.tokenize import detokenize_endpoint, tokenize_endpoint
from serving.errors import StepwellError

ROUTES = (
    ("POST", "/v1/chat/completions", chat_endpoint),
    ("POST", "/v1/completions", completions_endpoint),
    ("POST", "/v1/embeddings", embeddings_endpoint),
    ("POST", "/tokenize", tokenize_endpoint),
    ("POST", "/detokenize", detokenize_endpoint),
    ("GET", "/v1/models", models_endpoint),
    ("GET", "/v1/models/{name:path}", model_endpoint),
    ("GET", "/health", health_endpoint),
    ("GET", "/ready", ready_endpoint),
    ("GET", "/metrics", metrics_endpoint),
)


DIRECT = 3  # of them, the first, are answered without the framework's own layers


class Api(FastAPI):
    """FastAPI behind the front door, which answers the requests that matter most by itself: the
    framework's layers take as long as a cached answer does.
    """

    door: FrontDoor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.door(scope, receive, send)

    async def framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


def create_app(service: Service) -> FastAPI:
    """The API in front of `service`. Endpoints read, parse and check their bodies themselves, so
    they are plain routes; nothing is generated from them.
    """
    desk = Desk.of(service)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001  # FastAPI's signature
        await service.startup()
        yield
        desk.doors.close()
        drain_s = service.settings.server.drain_s
        if not await desk.doors.empty(drain_s):
            _warn_undrained(desk.doors.inside, drain_s)
        await service.shutdown()

    app = Api(
        title="Stepwell",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    for method, path, endpoint in ROUTES:
        app.add_route(path, endpoint(desk), methods=[method], include_in_schema=False)
    if service.work is not None:
        add_work_routes(app, desk, service.work)
    if service.responses is not None:
        add_response_routes(app, desk, service.responses, service.background)
    for error in (StepwellError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(error, _on_error)
    app.door = FrontDoor(
        app.framework,
        desk=desk,
        direct={(method, path): endpoint(desk) for method, path, endpoint in ROUTES[:DIRECT]},
    )
    app.state.desk = desk
    return app


async def _on_error(request: Request, error: Exception) -> Response:
    return error_response(error, Exchange.of(request.scope))


def _warn_undrained(inside: int, drain_s: float) -> None:
    structlog.get_logger("stepwell.api").warning(
        "requests_cut_by_shutdown", requests=inside, drain_s=drain_s
    )
