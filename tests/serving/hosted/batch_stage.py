"""A batch adapter on the emulator's stage, with what tests do to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from serving.batches import BatchBackend, BatchResult, PreparedLine
from serving.costs.price import Price
from serving.hosted.batches import AnthropicBatches
from tests.serving.hosted.emulator.running import Running, running
from tests.serving.hosted.fakes import OPUS, chat, tier
from tests.serving.hosted.faulty import Faulty


@dataclass(frozen=True)
class Stage:
    """`backend` talks to `api`; `faulty` spoils single requests on the way."""

    backend: AnthropicBatches
    api: Running
    faulty: Faulty


@asynccontextmanager
async def stage(
    model: str = OPUS, price: Price | None = None, **options: Any
) -> AsyncIterator[Stage]:
    async with running(**options) as api, Faulty.around(api.emulator) as faulty:
        backend = AnthropicBatches(tier(model), price=price, base_url=faulty.url)
        typed: BatchBackend = backend
        try:
            yield Stage(backend, api, faulty)
        finally:
            await typed.aclose()


def lines(backend: AnthropicBatches, count: int, **fields: Any) -> list[PreparedLine]:
    return [backend.prepare(f"line-{i}", chat(f"Question {i}", **fields)) for i in range(count)]


async def collected(backend: AnthropicBatches, batch_id: str) -> dict[str, BatchResult]:
    found = [r async for r in backend.collect(batch_id)]
    assert len({r.custom_id for r in found}) == len(found)
    return {r.custom_id: r for r in found}
