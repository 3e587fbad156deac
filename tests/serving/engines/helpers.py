"""Requests, calls and tiers for the tests of engines."""

import time
from contextlib import aclosing
from typing import Any

from serving.backend import Backend, Call
from serving.engines.mock.engine import MockBackend
from serving.errors import StepwellError
from serving.settings.tiers import EngineSettings, MockEngine, TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Assembler, Chunk, Completion


def ask(text: str = "How do I locate my card?", /, **params: Any) -> ChatRequest:
    messages = params.pop("messages", [{"role": "user", "content": text}])
    return ChatRequest.model_validate({"model": "auto", "messages": messages, **params})


def call(seconds: float = 30.0, **fields: Any) -> Call:
    return Call("req-1", "acme", time.monotonic() + seconds, **fields)


def tier(backend: EngineSettings, name: str = "local", **fields: Any) -> TierSettings:
    return TierSettings(name=name, model=f"{name}-model", backend=backend, **fields)


def engine(**fields: Any) -> MockEngine:
    return MockEngine.model_validate({"engine": "mock", "time_scale": 0, **fields})


def mock(name: str = "local", *, deadline_s: float = 60.0, **fields: Any) -> MockBackend:
    settings = engine(**fields)
    return MockBackend(tier(settings, name, deadline_s=deadline_s), settings)


async def chunks_of(backend: Backend, request: ChatRequest, at: Call | None = None) -> list[Chunk]:
    async with aclosing(backend.stream(request, at or call())) as chunks:
        return [chunk async for chunk in chunks]


async def until_error(
    backend: Backend, request: ChatRequest, at: Call | None = None
) -> tuple[list[Chunk], Exception | None]:
    """What came before the stream failed, and how it failed."""
    got: list[Chunk] = []
    try:
        async with aclosing(backend.stream(request, at or call())) as chunks:
            async for chunk in chunks:
                got.append(chunk)  # noqa: PERF401  # a comprehension would lose them
    except StepwellError as error:
        return got, error
    return got, None


def assembled(chunks: list[Chunk]) -> Completion:
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(chunk)
    assert assembler.finished
    return assembler.completion()


def check_order(chunks: list[Chunk]) -> None:
    """What `Chunk` promises of a stream."""
    *body, last = chunks
    assert last.usage is not None
    assert last == Chunk(last.id, last.created, last.model, usage=last.usage)
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1
    assert all(c.usage is None for c in body)
    for index in {c.index for c in body}:
        of_choice = [c for c in body if c.index == index]
        assert [i for i, c in enumerate(of_choice) if c.role is not None] == [0]
        ends = [i for i, c in enumerate(of_choice) if c.finish_reason is not None]
        assert ends == [len(of_choice) - 1]
