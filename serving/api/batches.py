"""/v1/batches: create, retrieve, list and cancel; and the routes of all work that can wait."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from serving.api.auth import Caller
from serving.api.chat import Endpoint
from serving.api.desk import Desk, json_response
from serving.api.exchange import Exchange
from serving.api.files import Route, file_routes
from serving.api.queries import limit_of
from serving.api.validation import parse_as
from serving.batch.requests import CreateBatch
from serving.batch.service import Work
from serving.batch.values import Owner
from serving.batch.wire import list_wire

DEFAULT, MOST = 20, 100
"""Batches in one page, as OpenAI has it."""


def add_work_routes(app: FastAPI, desk: Desk, work: Work) -> None:
    """/v1/files and /v1/batches."""
    for method, path, endpoint in (*file_routes(desk, work), *batch_routes(desk, work)):
        app.add_route(path, endpoint, methods=[method], include_in_schema=False)


def batch_routes(desk: Desk, work: Work) -> tuple[Route, ...]:
    """Method, path and endpoint of each."""
    return (
        ("POST", "/v1/batches", _create(desk, work)),
        ("GET", "/v1/batches", _list(desk, work)),
        ("GET", "/v1/batches/{id}", _retrieve(desk, work)),
        ("POST", "/v1/batches/{id}/cancel", _cancel(desk, work)),
    )


def _owner(caller: Caller) -> Owner:
    return Owner(caller.tenant, caller.key_id)


def _create(desk: Desk, work: Work) -> Endpoint:
    async def create(request: Request) -> Response:
        exchange = Exchange.of(request.scope)
        asked = parse_as(CreateBatch, await desk.admit(request, exchange, "chat"))
        assert exchange.caller is not None
        return json_response(await work.batches.create(_owner(exchange.caller), asked))

    return create


def _list(desk: Desk, work: Work) -> Endpoint:
    async def list_(request: Request) -> Response:
        caller = desk.let_in(request, Exchange.of(request.scope), "chat")
        query = request.query_params
        limit = limit_of(query, default=DEFAULT, most=MOST)
        after = query.get("after")
        found, more = await work.batches.page(_owner(caller), after=after, limit=limit)
        return json_response(list_wire(found, more))

    return list_


def _retrieve(desk: Desk, work: Work) -> Endpoint:
    async def retrieve(request: Request) -> Response:
        caller = desk.let_in(request, Exchange.of(request.scope), "chat")
        return json_response(await work.batches.retrieve(_owner(caller), request.path_params["id"]))

    return retrieve


def _cancel(desk: Desk, work: Work) -> Endpoint:
    async def cancel(request: Request) -> Response:
        caller = desk.let_in(request, Exchange.of(request.scope), "chat")
        return json_response(await work.batches.cancel(_owner(caller), request.path_params["id"]))

    return cancel
