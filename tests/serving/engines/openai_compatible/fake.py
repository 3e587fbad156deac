"""A scripted OpenAI-compatible server on a loopback port: it answers what the test says and keeps
what it was sent.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from serving.settings.tiers import OpenAIEngine, TierSettings
from tests.serving.engines.helpers import tier

Reply = Callable[[dict[str, Any]], Awaitable[Response]]


class Fake:
    """`reply` answers the next requests; `aborted` is set once a stream's reader went away."""

    def __init__(self) -> None:
        self.url = ""
        self.reset()

    def reset(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.aborted = threading.Event()
        self.reply: Reply = answers(answer("ok"))

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/chat/completions")
        @app.post("/v1/embeddings")
        @app.post("/tokenize")
        @app.post("/detokenize")
        async def any_of_them(request: Request) -> Response:
            self.paths.append(request.url.path)
            self.bodies.append(await request.json())
            self.headers.append(dict(request.headers))
            return await self.reply(self.bodies[-1])

        return app

    def streams(self, *events: Any, pause_s: float = 0.0, hold: bool = False) -> Reply:
        """Server-sent events: dicts as JSON, text as it is, an exception cuts the connection.
        `hold` keeps the connection open after the last one until the reader goes away.
        """

        aborted = self.aborted

        async def body() -> AsyncIterator[bytes]:
            try:
                for event in events:
                    if isinstance(event, Exception):
                        raise event
                    text = event if isinstance(event, str) else json.dumps(event)
                    yield f"data: {text}\n\n".encode()
                    await asyncio.sleep(pause_s)
                if hold:
                    await asyncio.sleep(60)
            except asyncio.CancelledError:
                aborted.set()
                raise

        async def reply(_: dict[str, Any]) -> Response:
            return StreamingResponse(body(), media_type="text/event-stream")

        return reply


def answers(content: Any, status: int = 200, **headers: str) -> Reply:
    """JSON for a dict or list, else the text as it is with JSON's content type."""

    async def reply(_: dict[str, Any]) -> Response:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        if isinstance(content, str):
            return Response(content, status, {"content-type": "application/json", **named})
        return JSONResponse(content, status, named)

    return reply


def late(seconds: float) -> Reply:
    async def reply(_: dict[str, Any]) -> Response:
        await asyncio.sleep(seconds)
        return JSONResponse(answer("late"))

    return reply


def answer(content: str | None, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A completion; `more` goes into its message."""
    message = {"role": "assistant", "content": content, **more}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "served-model",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def piece(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {
        "id": "chatcmpl-1",
        "created": 1_700_000_000,
        "model": "served-model",
        "choices": [choice],
    }


def counted(prompt: int = 7, completion: int = 3) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {
        "id": "chatcmpl-1",
        "created": 1_700_000_000,
        "model": "served-model",
        "choices": [],
        "usage": usage,
    }


def settings(url: str, *, deadline_s: float = 10.0, **fields: Any) -> TierSettings:
    backend = OpenAIEngine.model_validate({"engine": "openai", "base_url": url, **fields})
    return tier(backend, deadline_s=deadline_s)


@contextmanager
def serving() -> Iterator[Fake]:
    """Runs in a thread with a loop of its own, as another machine would."""
    fake = Fake()
    config = uvicorn.Config(
        fake.app(),
        port=0,
        log_level="critical",
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    fake.url = f"http://{host}:{port}/v1"
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join()
