"""An emulator that runs in the test's own event loop, and the real SDK to reach it with."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2

from serving.backend import Backend
from serving.hosted.emulator.app import Emulator, create_emulator
from serving.hosted.emulator.clock import Clock
from serving.hosted.emulator.server import EmulatorServer
from tests.serving.hosted.fakes import HAIKU, OLD_HAIKU, OPUS, SONNET, SONNET_5, Scripted

OLD_SONNET, OLD_OPUS, OPUS_5 = "claude-sonnet-4-6", "claude-opus-4-8", "claude-opus-5"
MODELS = (OPUS, SONNET, HAIKU, OLD_HAIKU, SONNET_5, OLD_SONNET, OLD_OPUS, OPUS_5)
VERSION = {"anthropic-version": "2026-10-21"}


@dataclass(frozen=True)
class Running:
    """`sdk` is the client of one key, without retries."""

    url: str
    emulator: Emulator
    sdk: anthropic.AsyncAnthropic

    def client(self, key: str) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(api_key=key, base_url=self.url, max_retries=0)

    async def pass_s(self, seconds: float) -> None:
        await self.emulator.clock.advance(seconds)

    async def ask(self, model: str = OLD_SONNET, **fields: Any) -> anthropic.types.Message:
        """One message through the SDK."""
        fields.setdefault("messages", [{"role": "user", "content": "Hi"}])
        fields.setdefault("max_tokens", 500)
        made: anthropic.types.Message = await self.sdk.messages.create(model=model, **fields)
        return made

    async def http(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = VERSION | {"x-api-key": "k"} | options.pop("headers", {})
        async with httpx2.AsyncClient(base_url=self.url) as client:
            return await client.request(method, path, headers=headers, **options)


@asynccontextmanager
async def running(
    backend: Backend | Mapping[str, Backend] | None = None, **options: Any
) -> AsyncIterator[Running]:
    """An emulator whose clock stands still but for `pass_s`, unless `options` name another."""
    one = backend if backend is not None else Scripted()
    answer = one if isinstance(one, Mapping) else dict.fromkeys(MODELS, one)
    options.setdefault("clock", Clock(movable=True, running=False))
    emulator = create_emulator(answer, **options)
    server = EmulatorServer(emulator)
    url = await server.start()
    sdk = anthropic.AsyncAnthropic(api_key="k", base_url=url, max_retries=0)
    try:
        async with sdk:
            yield Running(url, emulator, sdk)
    finally:
        await server.stop()


def words(count: int) -> str:
    """Text of so many tokens on models up to Claude 4.6; a block of it has two more."""
    return "word " * count


def block(count: int, ttl: str | None = None) -> dict[str, Any]:
    """A text block of exactly `count` tokens there, with a breakpoint where `ttl` is given."""
    made: dict[str, Any] = {"type": "text", "text": words(count - 2)}
    return made | ({"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {})
