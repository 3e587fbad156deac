"""A clock that tests set, and a tier that does as it is told."""

import asyncio
from collections import deque
from typing import Any

from serving.backend import Backend, Call, ChunkStream
from serving.engines.guard.guard import Guard
from serving.settings.tiers import TierLimits, TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, Chunk, Completion, Usage
from tests.serving.engines.helpers import engine, tier

ANSWER = Completion("id-1", 1, "m", (Choice(0, content="yes", finish_reason="stop"),), Usage(3, 1))
CHUNKS = (
    Chunk("id-1", 1, "m", 0, role="assistant", content=""),
    Chunk("id-1", 1, "m", 0, content="yes"),
    Chunk("id-1", 1, "m", 0, finish_reason="stop"),
    Chunk("id-1", 1, "m", usage=Usage(3, 1)),
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """Raises the next of `errors` (None: it answers), once `open` is set; a call whose request id
    is "stuck" never ends. `most` is the highest number of calls that it saw at once.
    """

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = deque(errors)
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[str] = []
        self.running = self.most = 0

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        await self._wait(call)
        return ANSWER

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        yield CHUNKS[0]
        await self._wait(call)
        for chunk in CHUNKS[1:]:
            yield chunk

    async def _wait(self, call: Call) -> None:
        self.asked.append(call.request_id)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await (asyncio.Event() if call.request_id == "stuck" else self.open).wait()
            await asyncio.sleep(0)  # as a call that takes some time
        finally:
            self.running -= 1
        if self.errors and (error := self.errors.popleft()) is not None:
            raise error


def settings(deadline_s: float = 60.0, **limits: Any) -> TierSettings:
    chosen = TierLimits.model_validate(limits)
    return tier(engine(), deadline_s=deadline_s, limits=chosen)


def guard(inner: Backend, clock: Clock | None = None, **fields: Any) -> Guard:
    if clock is None:
        return Guard(inner, settings(**fields))
    return Guard(inner, settings(**fields), clock=clock)


def circuit(it: Guard) -> str:
    return it.state.breaker


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)
