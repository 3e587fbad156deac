"""A scripted server of OpenAI's files and batches: it keeps what is uploaded and says what it is
told.
"""

import itertools
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.hosted.emulator.server import EmulatorServer

CREATED = 1_800_000_000


class BatchFake:
    """`files` by their ids, `batches` in the order of their creation. `answers[what]` are replies
    that come instead of the next ones to `upload`, `create`, `retrieve`, `cancel` or `content`.
    `keeps_metadata`: as OpenAI does, and not every server.
    """

    def __init__(self) -> None:
        self.url = ""
        self.keeps_metadata = True
        self.files: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.batches: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, deque[Response]] = defaultdict(deque)
        self.headers: list[dict[str, str]] = []
        self._ids = itertools.count()

    def finish(self, batch_id: str, output: list[Any], errors: list[Any] | None = None) -> None:
        """The batch ends with these lines in its files; text goes in as it is."""
        batch = self.batches[batch_id]
        batch["status"] = "completed"
        failed = errors or []
        counts = {"completed": len(output), "failed": len(failed)}
        batch["request_counts"] = {**counts, "total": len(output) + len(failed)}
        for name, lines in (("output_file_id", output), ("error_file_id", failed)):
            if lines:
                batch[name] = self._keep(lines)

    def _keep(self, lines: list[Any]) -> str:
        name = f"file-{next(self._ids)}"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.files[name] = "\n".join(texts).encode() + b"\n"
        return name

    def _instead(self, what: str, request: Request) -> Response | None:
        self.headers.append(dict(request.headers))
        return self.answers[what].popleft() if self.answers[what] else None

    async def upload(self, request: Request) -> Response:
        form = await request.body()
        if (reply := self._instead("upload", request)) is not None:
            return reply
        boundary = request.headers["content-type"].partition("boundary=")[2].encode()
        parts = [p.partition(b"\r\n\r\n") for p in form.split(b"--" + boundary)[1:-1]]
        fields = {
            head.partition(b'name="')[2].partition(b'"')[0]: body.removesuffix(b"\r\n")
            for head, _, body in parts
        }
        assert fields[b"purpose"] == b"batch"
        name = f"file-{next(self._ids)}"
        self.files[name] = fields[b"file"]
        return JSONResponse({"id": name, "object": "file", "purpose": "batch"})

    async def delete(self, request: Request) -> Response:
        name = request.path_params["id"]
        self.deleted.append(name)
        return JSONResponse({"id": name, "object": "file", "deleted": True})

    async def content(self, request: Request) -> Response:
        if (reply := self._instead("content", request)) is not None:
            return reply
        data = self.files[request.path_params["id"]]
        return Response(data, media_type="application/octet-stream")

    async def create(self, request: Request) -> Response:
        body = await request.json()
        reply = self._instead("create", request)
        if reply is not None and reply.status_code != 200:
            return reply
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": body["endpoint"],
            "completion_window": body["completion_window"],
            "input_file_id": body["input_file_id"],
            "metadata": body.get("metadata") if self.keeps_metadata else None,
            "status": "validating",
            "created_at": CREATED + len(self.batches),
            "expires_at": CREATED + 86_400,
        }
        return reply or JSONResponse(self.batches[name])

    async def listing(self, request: Request) -> Response:
        """Two to a page."""
        found = list(self.batches.values())[::-1]
        after = request.query_params.get("after")
        begin = 0 if after is None else [b["id"] for b in found].index(after) + 1
        page = found[begin : begin + 2]
        return JSONResponse({"object": "list", "data": page, "has_more": begin + 2 < len(found)})

    async def retrieve(self, request: Request) -> Response:
        if (reply := self._instead("retrieve", request)) is not None:
            return reply
        batch = self.batches.get(request.path_params["id"])
        return _none() if batch is None else JSONResponse(batch)

    async def cancel(self, request: Request) -> Response:
        if (reply := self._instead("cancel", request)) is not None:
            return reply
        batch = self.batches.get(request.path_params["id"])
        if batch is None:
            return _none()
        if batch["status"] in {"completed", "cancelled", "expired", "failed"}:
            error = {"message": f"Cannot cancel a batch with status '{batch['status']}'."}
            return JSONResponse({"error": error}, 409)
        batch["status"] = "cancelling"
        return JSONResponse(batch)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/files", self.upload, methods=["POST"]),
                Route("/v1/files/{id}", self.delete, methods=["DELETE"]),
                Route("/v1/files/{id}/content", self.content),
                Route("/v1/batches", self.create, methods=["POST"]),
                Route("/v1/batches", self.listing),
                Route("/v1/batches/{id}", self.retrieve),
                Route("/v1/batches/{id}/cancel", self.cancel, methods=["POST"]),
            ]
        )


def _none() -> Response:
    return JSONResponse({"error": {"message": "No batch found", "code": None}}, 404)


@asynccontextmanager
async def fake_batches() -> AsyncIterator[BatchFake]:
    fake = BatchFake()
    server = EmulatorServer(fake.app())
    fake.url = f"{await server.start()}/v1"
    try:
        yield fake
    finally:
        await server.stop()
