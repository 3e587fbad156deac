"""A real HTTP endpoint whose answers a test scripts: uvicorn on a free port, in a thread."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Script = Callable[["Asked"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived; `number` counts from 0."""

    number: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return str(self.body["messages"][-1]["content"])


@dataclass(slots=True)
class Endpoint:
    """What arrived, and how many requests were in flight at most."""

    script: Script
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    flying: int = 0
    peak: int = 0

    async def chat(self, request: Request) -> Response:
        asked = Asked(len(self.asked), json.loads(await request.body()), dict(request.headers))
        self.asked.append(asked)
        self.flying += 1
        self.peak = max(self.peak, self.flying)
        try:
            return await self.script(asked)
        finally:
            self.flying -= 1


@contextmanager
def listening(script: Script) -> Iterator[Endpoint]:
    endpoint = Endpoint(script)
    app = Starlette(routes=[Route("/v1/chat/completions", endpoint.chat, methods=["POST"])])
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < until
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    endpoint.url = f"http://127.0.0.1:{port}"
    try:
        yield endpoint
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def attempt(tier: str = "small", **given: Any) -> dict[str, Any]:
    """One attempt of a route trace, as the API renders it."""
    return {
        "tier": tier,
        "kind": "attempt",
        "model": f"{tier}-model",
        "outcome": "accepted",
        "reason": "passed",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost_usd": "0.000000000001",
        "baseline_cost_usd": "0.0001",
        "latency_ms": 12.5,
        "ttft_ms": 3.25,
        "simulated": False,
        "error": None,
        **given,
    }


def completion(*attempts: dict[str, Any], **given: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Yes."}
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **given,
    }
    return body | ({"stepwell": {"decisions": [], "attempts": [*attempts]}} if attempts else {})


def answer(*attempts: dict[str, Any], **given: Any) -> Response:
    return JSONResponse(completion(*attempts, **given))


def error(status: int, code: str, **beside: Any) -> Response:
    body = {"message": f"{code} happened", "type": "api_error", "param": None, "code": code}
    return JSONResponse({"error": body, **beside}, status)


def chunk(delta: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    finish = given.pop("finish_reason", None)
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small"}
    return {**head, "choices": choices, **given}


def events(*payloads: dict[str, Any], pause_s: float = 0.0, done: bool = True) -> Response:
    async def body() -> Any:
        for payload in payloads:
            yield f"data: {json.dumps(payload)}\n\n"
            await asyncio.sleep(pause_s)
        if done:
            yield "data: [DONE]\n\n"

    return StreamingResponse(body(), media_type="text/event-stream")
