"""Files, batches and a worker in front of a scripted backend, over real HTTP in one loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import orjson
from openai.types import Batch, FileObject

from serving.api.batch_lines import ChatLines
from serving.api.batches import add_work_routes
from serving.backend import Backend
from serving.batch.files import FileStore
from serving.batch.service import BatchService, Work
from serving.batch.values import Clock, utc_now
from serving.batch.webhooks.allowed import Allowed
from serving.batch.worker import Worker
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from tests.serving.api.server import KEY, Server, chat, serving

CHAT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass
class Stack:
    server: Server
    database: Database
    files: FileStore
    batches: BatchService
    worker: Worker

    @property
    def client(self) -> openai.AsyncOpenAI:
        return self.server.sdk()


@asynccontextmanager
async def stack(
    backend: Backend,
    folder: Path,
    *,
    url: str | None = None,
    batch: BatchSettings | None = None,
    working: bool = True,
    busy: Callable[[], bool] = lambda: False,
    clock: Clock = utc_now,
    **changes: Any,
) -> AsyncIterator[Stack]:
    """`changes` are of the settings; without `working` the worker is not started."""
    chosen = batch or BatchSettings(poll_s=0.05, retry_s=0.01)
    async with AsyncExitStack() as opened:
        database = await Database.open(url or f"sqlite:///{folder / 'work.db'}")
        opened.push_async_callback(database.close)
        files = FileStore(database, folder / "files", chosen, clock)
        server = await opened.enter_async_context(serving(backend, **changes))
        settings = server.service.settings
        worker = Worker(
            database,
            files,
            ChatLines(backend, settings),
            chosen,
            max_line_bytes=settings.limits.max_body_bytes,
            clock=clock,
            busy=busy,
        )
        webhooks = Allowed(chosen.webhooks)
        batches = BatchService(database, files, wake=worker.wake, webhooks=webhooks, clock=clock)
        add_work_routes(server.app, server.app.state.desk, Work(files, batches))
        if working:
            await worker.start()
            opened.push_async_callback(worker.close)
        yield Stack(server, database, files, batches, worker)


def line(custom_id: str, text: str = "Hi", **more: Any) -> dict[str, Any]:
    """`more` is of the body."""
    body = chat(text, **more)
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def jsonl(lines: Sequence[Any]) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in lines)


async def upload(client: openai.AsyncOpenAI, data: bytes, name: str = "in.jsonl") -> FileObject:
    return await client.files.create(file=(name, data), purpose="batch")


async def submit(client: openai.AsyncOpenAI, lines: Sequence[Any], **more: Any) -> Batch:
    file = await upload(client, jsonl(lines))
    return await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


async def ended(client: openai.AsyncOpenAI, batch_id: str, *states: str) -> Batch:
    """The batch once it is in one of these states, by default once it has ended."""
    async with asyncio.timeout(30):
        while True:
            found = await client.batches.retrieve(batch_id)
            if found.status in (states or ENDED):
                return found
            await asyncio.sleep(0.01)


async def results(client: openai.AsyncOpenAI, file_id: str | None) -> dict[str, Any]:
    """The lines of an output or error file by their custom_id, each there once."""
    if file_id is None:
        return {}
    text = (await client.files.content(file_id)).text
    found = [orjson.loads(one) for one in text.splitlines()]
    by_id = {one["custom_id"]: one for one in found}
    assert len(by_id) == len(found)
    return by_id


__all__ = ["KEY", "Stack", "ended", "jsonl", "line", "results", "stack", "submit", "upload"]
