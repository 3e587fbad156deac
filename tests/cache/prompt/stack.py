"""A planned tier in front of the emulator, and what tests want to see of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from cache.prompt.planned import PromptCachePlanned
from serving.backend import Backend, Call, ChunkStream
from serving.errors import TierUnavailable
from serving.hosted.emulator.clock import Clock
from serving.telemetry.metrics import Metrics
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion, Usage
from tests.cache.prompt.helpers import Clock as Seconds
from tests.cache.prompt.helpers import call, chat, planner, rules, system
from tests.serving.hosted.fakes import Scripted, adapter, emulated

QUESTION: list[dict[str, Any]] = [
    system(rules()),
    {"role": "user", "content": "May I return it?"},
]


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until the condition holds."""
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


class Spy:
    """Passes everything on and keeps what it saw; `fail` as many calls before they leave."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.fail = 0
        self.seen: list[ChatRequest] = []
        self.streamed = 0

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        self._see(request)
        return await self.inner.complete(request, call)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        self._see(request)
        self.streamed += 1
        async with aclosing(self.inner.stream(request, call)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _see(self, request: ChatRequest) -> None:
        self.seen.append(request)
        if self.fail:
            self.fail -= 1
            raise TierUnavailable("down")


class Held(Scripted):
    """A model that begins its answers only once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request)
        self.started.set()
        await self.may.wait()
        async with aclosing(super().stream(request, call)) as chunks:
            async for chunk in chunks:
                yield chunk


@dataclass
class Stack:
    planned: PromptCachePlanned
    spy: Spy
    clock: Clock
    metrics: Metrics
    usages: list[Usage] = field(default_factory=list)

    async def ask(self, request: ChatRequest | None = None, to: Call | None = None) -> Usage:
        asked = request or chat(*QUESTION)
        completion = await self.planned.complete(asked, to or call())
        self.usages.append(completion.usage)
        return completion.usage

    def count(self, name: str, **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(f"stepwell_prompt_cache_{name}", labels)
        return found or 0.0


@asynccontextmanager
async def stack(
    policy: Any = None,
    *,
    backend: Backend | None = None,
    model: str = "claude-opus-5-5",
    wait_s: float = 10.0,
    planner_clock: Seconds | None = None,
    **fields: Any,
) -> AsyncIterator[Stack]:
    """The planner goes by the emulator's clock, or by one of its own."""
    clock, metrics = Clock(movable=True, running=False), Metrics()
    async with emulated(backend, clock=clock) as url, adapter(url, model) as claude:
        spy = Spy(claude)
        made = planner(policy, clock=planner_clock or clock, metrics=metrics, **fields)
        planned = PromptCachePlanned(
            spy, made, tier="opus", wait_s=wait_s, metrics=metrics.prompt_cache
        )
        yield Stack(planned, spy, clock, metrics)
