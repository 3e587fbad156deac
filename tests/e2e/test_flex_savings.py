"""What waiting for room saves: the climb that a request in a hurry would have made."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploy.adapters import Adapter, open_adapters
from deploy.build import opened
from serving.backend import Backend, Call, ChunkStream
from serving.costs.report import Line, compute
from serving.engines.guard.guard import Guard
from serving.engines.mock.engine import MockBackend, mock_ability
from serving.settings.root import Settings
from serving.settings.tiers import MockEngine, TierSettings
from serving.storage.database import Database
from serving.telemetry.metrics import Metrics
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from tests.e2e.configs import ladder, mock_tier

HURRY_S = 0.02
HOLD = "Hold the line."
ASKED = "Where is my card?"


class Held:
    """Answers at once, but for one question, which it holds until it is told to go on."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.entered, self.released = asyncio.Event(), asyncio.Event()

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        if request.messages[-1].text == HOLD:
            self.entered.set()
            await self.released.wait()
        return await self._inner.complete(request, call)

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        raise NotImplementedError("nothing is streamed here")


def request(text: str) -> ChatRequest:
    messages = [{"role": "user", "content": text}]
    return ChatRequest.model_validate({"model": "auto", "messages": messages})


def call(request_id: str, **given: Any) -> Call:
    return Call(request_id, "default", time.monotonic() + 30, **given)


def config(folder: Path) -> Settings:
    """Three tiers that agree on every answer; the first takes one call at a time."""
    folder.mkdir(exist_ok=True)
    small = mock_tier("small") | {"limits": {"max_concurrent": 1, "queue_timeout_s": HURRY_S}}
    middle, top = mock_tier("middle"), mock_tier("top")
    middle["price"] = {"kind": "tokens", "input_per_mtok": 2, "output_per_mtok": 10}
    top["price"] = {"kind": "tokens", "input_per_mtok": 5, "output_per_mtok": 25}
    storage = {"url": f"sqlite:///{folder / 'ledger.db'}", "flush_interval_s": 0.05}
    return Settings.model_validate(ladder(tiers=[small, middle, top], storage=storage))


async def ran(folder: Path, *, flex: bool) -> Line:
    """One request holds the first tier while another asks, and is let go once that had to wait
    longer than a request in a hurry would.
    """
    settings = config(folder)
    found: list[tuple[Held, Guard]] = []

    async def adapters(
        tiers: Sequence[TierSettings], stack: AsyncExitStack, metrics: Metrics
    ) -> Mapping[str, Adapter]:
        small = tiers[0]
        assert isinstance(small.backend, MockEngine)
        held = Held(MockBackend(small, small.backend))
        found.append((held, Guard(held, small)))
        others = await open_adapters(tiers[1:], stack, metrics)
        return {**others, "small": Adapter(found[0][1], mock_ability(small.backend))}

    given = {"urgency": "offline", "service": "flex"} if flex else {}
    async with opened(settings, adapters) as service:
        held, guard = found[0]
        holding = asyncio.create_task(service.backend.complete(request(HOLD), call("hold")))
        await held.entered.wait()
        asking = asyncio.create_task(service.backend.complete(request(ASKED), call("a", **given)))
        while flex and not guard.state.idle_queued:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        await asyncio.sleep(2 * HURRY_S)  # it is this time that passes which is tested
        if not flex:
            await asking
        held.released.set()
        await asyncio.gather(holding, asking)
    database = await Database.open(f"sqlite:///{folder / 'ledger.db'}")
    try:
        return (await compute(database, [])).total
    finally:
        await database.close()


async def test_waiting_saves_what_climbing_costs(tmp_path: Path) -> None:
    with_it = await ran(tmp_path / "on", flex=True)
    without = await ran(tmp_path / "off", flex=False)
    assert with_it.baseline_usd == without.baseline_usd
    assert without.parts.flex == 0
    assert with_it.parts.flex == without.spend_usd - with_it.spend_usd > 0
    assert with_it.parts.routing == without.parts.routing, "what lies below is not counted twice"
    for line in (with_it, without):
        assert line.parts.total == line.baseline_usd - line.spend_usd


async def test_who_need_not_wait_saves_nothing_by_it(tmp_path: Path) -> None:
    settings = config(tmp_path)
    async with opened(settings) as service:
        asked = call("a", urgency="offline", service="flex")
        await service.backend.complete(request(ASKED), asked)
    (attempt,) = asked.trace.attempts
    assert (attempt.service, attempt.tier, attempt.above_cost_usd) == ("flex", "small", None)
    assert attempt.cost_usd != Decimal(0)
