"""The API in front of a scripted backend, over real HTTP in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving.api.app import create_app
from serving.api.models import model_cards
from serving.api.service import Service, nothing
from serving.backend import Backend
from serving.settings.root import Settings
from serving.telemetry.metrics import Metrics

KEY = "sw-test-0123456789-abcdefghijklmnopqrstuvwx"
NOTHING: Mapping[str, Any] = {}
PRICE = {"input": "0.1", "output": "0.4"}


def tier(name: str) -> dict[str, Any]:
    backend = {"engine": "mock"}
    price = {"kind": "tokens", "input_per_mtok": 0.1, "output_per_mtok": 0.4}
    return {"name": name, "model": f"mock-{name}", "backend": backend, "price": price}


def settings(**changes: Any) -> Settings:
    tiers = [tier("small"), tier("large")]
    return Settings.model_validate({"tiers": tiers, "aliases": {"gpt-4o": "auto"}, **changes})


async def all_ready() -> Mapping[str, str]:
    return {"storage": "ok"}


def service(
    backend: Backend,
    *,
    ready: Callable[[], Awaitable[Mapping[str, str]]] = all_ready,
    startup: Callable[[], Awaitable[None]] = nothing,
    shutdown: Callable[[], Awaitable[None]] = nothing,
    asides: Mapping[str, Any] = NOTHING,
    **changes: Any,
) -> Service:
    """`asides`: the service's embedders and tokenizers; `changes` are of the settings."""
    chosen = settings(**changes)
    cards = model_cards(chosen, {"small": PRICE, "large": None})
    tenants = {key.tenant for key in chosen.keys} or {"default"}
    return Service(chosen, backend, cards, Metrics(tenants), ready, startup, shutdown, **asides)


@dataclass
class Server:
    url: str
    app: FastAPI
    service: Service
    clients: list[Any] = field(default_factory=list)

    def sdk(self, key: str = KEY, **options: Any) -> openai.AsyncOpenAI:
        options = {"max_retries": 0, **options}
        client = openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, **options)
        self.clients.append(client)
        return client

    async def post(self, path: str = "/v1/chat/completions", **options: Any) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url, timeout=10) as http:
            return await http.post(path, **options)

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url, timeout=10) as http:
            return await http.get(path, **options)


@asynccontextmanager
async def serving(backend: Backend, **options: Any) -> AsyncIterator[Server]:
    """`options` are those of `service`. uvicorn's own HTTP, without its server's waits."""
    served = service(backend, **options)
    app = create_app(served)
    config = uvicorn.Config(app, http="httptools", ws="none", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    async with app.router.lifespan_context(app):
        listening = await loop.create_server(
            lambda: HttpToolsProtocol(config=config, server_state=state, app_state={}),
            "127.0.0.1",
        )
        server = Server(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", app, served)
        try:
            yield server
        finally:
            for client in server.clients:
                await client.close()
            listening.close()
    for connection in list(state.connections):
        connection.shutdown()
    await asyncio.gather(*state.tasks)


def chat(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **more}
