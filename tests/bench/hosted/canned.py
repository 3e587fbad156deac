"""A model whose answers cost nothing to make and have a known number of tokens."""

import asyncio
from collections.abc import AsyncGenerator

from serving.backend import Call
from serving.hosted.models import catalog
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion, Usage
from tests.bench.hosted.texts import text


class Canned:
    """Streams one answer of `tokens` tokens in so many `pieces`, with `pause_s` before each. A
    Backend as the emulator asks it: by streams only.
    """

    def __init__(self, model: str, tokens: int, *, pieces: int = 1, pause_s: float = 0.0) -> None:
        words = text(max(1, round(tokens / catalog().ability(model).tokenizer)), model).split()
        size = -(-len(words) // pieces)
        parts = [" ".join(words[i : i + size]) + " " for i in range(0, len(words), size)]
        head = Chunk("canned", 0, model)
        self._opening = Chunk("canned", 0, model, role="assistant", content="")
        self._parts = [Chunk("canned", 0, model, content=part) for part in parts]
        self._end = Chunk("canned", 0, model, finish_reason="stop")
        self._usage = Chunk(head.id, 0, model, usage=Usage(completion_tokens=tokens))
        self._pause_s = pause_s

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        raise AssertionError("the emulator asks by streams only")

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[Chunk, None]:
        yield self._opening
        for part in self._parts:
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
            yield part
        yield self._end
        yield self._usage
