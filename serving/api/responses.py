"""/v1/responses: create, retrieve, cancel and delete, and the items of their inputs."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from serving.api.auth import Caller
from serving.api.chat import Endpoint
from serving.api.desk import Desk, json_response
from serving.api.exchange import Exchange
from serving.api.files import Route
from serving.api.queries import ascending, limit_of
from serving.api.response_create import create_endpoint
from serving.api.response_keep import input_page
from serving.batch.enqueue import Background
from serving.batch.values import utc_now
from serving.batch.wire import list_wire
from serving.errors import InvalidRequest
from serving.storage.responses import ResponseStore, StoredResponse

DEFAULT, MOST = 20, 100
"""Items in one page, as OpenAI has it."""


def add_response_routes(
    app: FastAPI, desk: Desk, store: ResponseStore, background: Background | None
) -> None:
    for method, path, endpoint in response_routes(desk, store, background):
        app.add_route(path, endpoint, methods=[method], include_in_schema=False)


def response_routes(
    desk: Desk, store: ResponseStore, background: Background | None
) -> tuple[Route, ...]:
    """Method, path and endpoint of each."""
    one = "/v1/responses/{id}"
    return (
        ("POST", "/v1/responses", create_endpoint(desk, store, background)),
        ("GET", one, _retrieve(desk, store)),
        ("DELETE", one, _delete(desk, store)),
        ("POST", f"{one}/cancel", _cancel(desk, background)),
        ("GET", f"{one}/input_items", _input_items(desk, store)),
    )


def _retrieve(desk: Desk, store: ResponseStore) -> Endpoint:
    async def retrieve(request: Request) -> Response:
        caller = _caller(desk, request)
        if request.query_params.get("stream", "false").lower() != "false":
            message = "Invalid value for 'stream': a response that is stored is not streamed."
            raise InvalidRequest(message, param="stream", code="unsupported_parameter")
        found = await store.get(caller.tenant, request.path_params["id"], utc_now())
        return _told(found)

    return retrieve


def _delete(desk: Desk, store: ResponseStore) -> Endpoint:
    async def delete(request: Request) -> Response:
        caller, id_ = _caller(desk, request), request.path_params["id"]
        await store.delete(caller.tenant, id_, utc_now())
        return json_response({"id": id_, "object": "response", "deleted": True})

    return delete


def _cancel(desk: Desk, background: Background | None) -> Endpoint:
    async def cancel(request: Request) -> Response:
        caller, found = _caller(desk, request), None
        if background is not None:
            found = await background.cancel(caller.tenant, request.path_params["id"])
        if found is None:
            message = "Only a response that runs in the background can be cancelled."
            raise InvalidRequest(message, code="not_in_background")
        return _told(found)

    return cancel


def _input_items(desk: Desk, store: ResponseStore) -> Endpoint:
    async def input_items(request: Request) -> Response:
        caller, query = _caller(desk, request), request.query_params
        found = await store.get(caller.tenant, request.path_params["id"], utc_now())
        page = input_page(
            found,
            after=query.get("after"),
            limit=limit_of(query, default=DEFAULT, most=MOST),
            ascending=ascending(query),
        )
        if page is None:
            message = "Invalid value for 'after': there is no such item."
            raise InvalidRequest(message, param="after", code="invalid_cursor")
        return json_response(list_wire(*page))

    return input_items


def _caller(desk: Desk, request: Request) -> Caller:
    return desk.let_in(request, Exchange.of(request.scope), "chat")


def _told(found: StoredResponse) -> Response:
    return Response(found.body, media_type="application/json")
