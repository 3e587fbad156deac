"""The tier's side: hosts backends and answers for them in values that can cross."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import structlog

from serving.backend import Backend, Call
from serving.engines.remote.wire import Answered, Asked, Batch, Ended, Reply, notes_of, unpack
from serving.errors import StepwellError, TierUnavailable
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk

_log = structlog.get_logger("stepwell.tier")

MAX_READY = 256
"""Chunks that may wait while the last batch is on its way; then the tier waits."""


class TierHost:
    """Answers for `tiers` by their names."""

    def __init__(self, tiers: Mapping[str, Backend]) -> None:
        self._tiers = dict(tiers)

    async def complete(self, tier: str, asked: Asked) -> Reply:
        request, call = unpack(asked)
        try:
            completion = await self._tiers[tier].complete(request, call)
        except Exception as error:
            return Ended(notes_of(call), told(error, tier))
        return Answered(completion, notes_of(call))

    async def stream(self, tier: str, asked: Asked) -> AsyncGenerator[Batch, None]:
        """Chunks that are ready together cross together; none waits for another."""
        request, call = unpack(asked)
        ready: asyncio.Queue[Chunk | Ended] = asyncio.Queue(MAX_READY)
        pump = asyncio.create_task(_pump(tier, self._tiers[tier], request, call, ready))
        item: Chunk | Ended | None = None
        try:
            while not isinstance(item, Ended):
                batch: list[Chunk] = []
                item = await ready.get()
                while isinstance(item, Chunk):
                    batch.append(item)
                    if ready.empty():
                        break
                    item = ready.get_nowait()
                if batch:
                    yield tuple(batch)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        yield item


async def _pump(
    tier: str,
    backend: Backend,
    request: ChatRequest,
    call: Call,
    ready: "asyncio.Queue[Chunk | Ended]",
) -> None:
    error: StepwellError | None = None
    try:
        async with aclosing(backend.stream(request, call)) as chunks:
            async for chunk in chunks:
                await ready.put(chunk)
    except Exception as raised:
        error = told(raised, tier)
    await ready.put(Ended(notes_of(call), error))


def told(error: Exception, tier: str) -> StepwellError:
    """What nobody foresaw is a fault of the tier; its message may quote the prompt, so only its
    kind is told.
    """
    if isinstance(error, StepwellError):
        return error
    _log.error("tier_broke", tier=tier, error=type(error).__name__)
    return TierUnavailable(f"tier {tier}: it failed ({type(error).__name__})")
