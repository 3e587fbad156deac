"""A scripted backend for the emulator, and ways to reach the emulator."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from serving.backend import Backend, Call
from serving.errors import StepwellError
from serving.hosted.anthropic import Anthropic
from serving.hosted.emulator.app import create_emulator
from serving.hosted.emulator.server import EmulatorServer
from serving.settings.tiers import AnthropicEngine, MockEngine, OutputPolicy, TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import (
    Assembler,
    Choice,
    Chunk,
    Completion,
    ToolCallPart,
    Usage,
    as_chunks,
)

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
OLD_HAIKU, SONNET_5 = "claude-haiku-4-5", "claude-sonnet-5"


def answer(text: str | None = "Paris.", *, tokens: int = 3, **choice: Any) -> Completion:
    """A completion of one choice."""
    usage = Usage(prompt_tokens=7, completion_tokens=tokens)
    return Completion("cmpl", 0, "scripted", (Choice(content=text, **choice),), usage)


def tool_answer(*calls: tuple[str, str, str]) -> Completion:
    parts = tuple(ToolCallPart(i, *call) for i, call in enumerate(calls))
    return answer(None, tool_calls=parts, finish_reason="tool_calls")


class Scripted:
    """Streams `reply` in pieces, or raises it; `delay` seconds pass before each chunk."""

    def __init__(
        self, reply: Completion | StepwellError | None = None, *, delay: float = 0.0
    ) -> None:
        self.reply = reply if reply is not None else answer()
        self.delay = delay
        self.asked: list[ChatRequest] = []
        self.started, self.closed = asyncio.Event(), asyncio.Event()

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        raise NotImplementedError

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request)
        self.started.set()
        try:
            if isinstance(self.reply, StepwellError):
                raise self.reply
            for chunk in as_chunks(self.reply, pieces=4):
                if self.delay:
                    await asyncio.sleep(self.delay)
                yield chunk
        finally:
            self.closed.set()


@asynccontextmanager
async def emulated(
    backend: Backend | Mapping[str, Backend] | None = None, **options: Any
) -> AsyncIterator[str]:
    """The base URL of an emulator whose models all answer from `backend`."""
    one = backend if backend is not None else Scripted()
    if not isinstance(one, Mapping):
        one = dict.fromkeys((OPUS, SONNET, HAIKU, OLD_HAIKU, SONNET_5), one)
    server = EmulatorServer(create_emulator(one, **options))
    url = await server.start()
    try:
        yield url
    finally:
        await server.stop()


def tier(model: str = OPUS, **fields: Any) -> TierSettings:
    engine = AnthropicEngine(
        engine="anthropic", base_url="emulator", emulated=MockEngine(engine="mock")
    )
    fields.setdefault("output", OutputPolicy(max_tokens=1_000))
    return TierSettings(name="top", model=model, backend=engine, **fields)


@asynccontextmanager
async def adapter(url: str, model: str = OPUS, **fields: Any) -> AsyncIterator[Anthropic]:
    made = Anthropic(tier(model, **fields), base_url=url)
    try:
        yield made
    finally:
        await made.aclose()


def call(seconds: float = 10.0) -> Call:
    return Call("req-1", "acme", time.monotonic() + seconds)


def chat(*messages: Mapping[str, Any] | str, **fields: Any) -> ChatRequest:
    """A chat request; a plain text is a user message."""
    made = [{"role": "user", "content": m} if isinstance(m, str) else dict(m) for m in messages]
    return ChatRequest.model_validate(
        {"model": "auto", "messages": made or [{"role": "user", "content": "Hi"}], **fields}
    )


def weather_tool(**function: Any) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    made = {"name": "weather", "description": "The weather.", "parameters": parameters}
    return {"type": "function", "function": made | function}


async def collect(
    backend: Anthropic, request: ChatRequest, to: Call, got: list[Chunk] | None = None
) -> list[Chunk]:
    """All chunks; `got` holds them also where the stream fails."""
    found = [] if got is None else got
    async with aclosing(backend.stream(request, to)) as chunks:
        async for chunk in chunks:
            found.append(chunk)
    return found


async def asked(backend: Anthropic, request: ChatRequest, to: Call, *, stream: bool) -> Completion:
    if not stream:
        return await backend.complete(request, to)
    assembler = Assembler()
    for chunk in await collect(backend, request, to):
        assembler.add(chunk)
    assert assembler.finished
    return assembler.completion()
