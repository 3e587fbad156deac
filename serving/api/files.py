"""/v1/files: upload, list, retrieve, read and delete."""

import asyncio

import structlog
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from serving.api.chat import Endpoint
from serving.api.desk import Desk, json_response
from serving.api.exchange import Exchange
from serving.api.queries import ascending, limit_of
from serving.api.uploads import receive_file
from serving.batch.files import no_such_file
from serving.batch.service import Work
from serving.batch.wire import file_wire, list_wire

MOST = 10_000
"""Files in one page, as OpenAI has it."""

Route = tuple[str, str, Endpoint]


def file_routes(desk: Desk, work: Work) -> tuple[Route, ...]:
    """Method, path and endpoint of each."""
    one = "/v1/files/{id}"
    return (
        ("POST", "/v1/files", _create(desk, work)),
        ("GET", "/v1/files", _list(desk, work)),
        ("GET", one, _retrieve(desk, work)),
        ("DELETE", one, _delete(desk, work)),
        ("GET", f"{one}/content", _content(desk, work)),
    )


def _create(desk: Desk, work: Work) -> Endpoint:
    async def create(request: Request) -> Response:
        caller = desk.let_in(request, Exchange.of(request.scope), "chat")
        return json_response(file_wire(await receive_file(request, work.files, caller)))

    return create


def _list(desk: Desk, work: Work) -> Endpoint:
    async def list_(request: Request) -> Response:
        caller = desk.let_in(request, Exchange.of(request.scope), "chat")
        query = request.query_params
        found, more = await work.files.page(
            caller.tenant,
            after=query.get("after"),
            limit=limit_of(query, default=MOST, most=MOST),
            purpose=query.get("purpose"),
            ascending=ascending(query),
        )
        return json_response(list_wire([file_wire(file) for file in found], more))

    return list_


def _retrieve(desk: Desk, work: Work) -> Endpoint:
    async def retrieve(request: Request) -> Response:
        caller = desk.let_in(request, Exchange.of(request.scope), "chat")
        file = await work.files.get(caller.tenant, request.path_params["id"])
        return json_response(file_wire(file))

    return retrieve


def _delete(desk: Desk, work: Work) -> Endpoint:
    async def delete(request: Request) -> Response:
        caller = desk.let_in(request, Exchange.of(request.scope), "chat")
        file_id = request.path_params["id"]
        await work.files.delete(caller.tenant, file_id)
        return json_response({"id": file_id, "object": "file", "deleted": True})

    return delete


def _content(desk: Desk, work: Work) -> Endpoint:
    async def content(request: Request) -> Response:
        caller = desk.let_in(request, Exchange.of(request.scope), "chat")
        file = await work.files.get(caller.tenant, request.path_params["id"])
        path = work.files.path(file.id)
        try:
            stat = await asyncio.to_thread(path.stat)
        except FileNotFoundError:
            structlog.get_logger("stepwell.batch").error("file_lost", file=file.id)
            raise no_such_file(file.id) from None
        return FileResponse(
            path,
            headers={"x-content-type-options": "nosniff"},
            media_type="application/octet-stream",
            filename=file.filename,
            stat_result=stat,
        )

    return content
