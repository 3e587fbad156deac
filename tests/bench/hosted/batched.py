"""The share of the work that goes through Message Batches, by the real adapter."""

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from serving.backend import Call
from serving.batches import BatchBackend, BatchResult, PreparedLine
from serving.costs.bill import bill
from serving.costs.ledger import Ledger
from serving.costs.rate_card import RateCard, tier_price
from serving.hosted.batches import AnthropicBatches
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.storage.database import Database
from serving.wire.chat import ChatRequest
from tests.bench.hosted.moved import Moved

FEATURE = "batch"
DAY_S = 86_400.0
WAIT_S = 60.0


@dataclass(slots=True)
class _Tier:
    settings: TierSettings
    backend: BatchBackend
    waiting: list[PreparedLine] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)


class Batches:
    """Collects lines by tier, sends them when told, and books what comes of them."""

    def __init__(self, settings: Settings, card: RateCard, stack: AsyncExitStack) -> None:
        self._tiers: dict[str, _Tier] = {}
        for tier in settings.tiers:
            backend = AnthropicBatches(tier, price=tier_price(tier, card))
            stack.push_async_callback(backend.aclose)
            self._tiers[tier.name] = _Tier(tier, backend)
        self._settings, self._card = settings, card

    def add(self, tier: str, custom_id: str, body: Mapping[str, Any]) -> None:
        request = ChatRequest.model_validate(body)
        self._tiers[tier].waiting.append(self._tiers[tier].backend.prepare(custom_id, request))

    async def submit(self) -> None:
        """Sends what is waiting, a batch for each tier."""
        for tier in self._tiers.values():
            if tier.waiting:
                handle = await tier.backend.submit(tier.waiting, tag="")
                tier.sent.append(handle.id)
                tier.waiting = []

    async def results(self, clock: Moved) -> dict[str, list[BatchResult]]:
        """By tier, once all batches have ended; the clock is moved until they have."""
        found: dict[str, list[BatchResult]] = defaultdict(list)
        for name, tier in self._tiers.items():
            for batch in tier.sent:
                until = clock() + DAY_S
                while (await tier.backend.poll(batch)).state != "ended":
                    if clock() > until:
                        raise TimeoutError(f"batch {batch} does not end")
                    await clock.advance(WAIT_S)
                found[name] += [result async for result in tier.backend.collect(batch)]
        return found

    async def book(self, found: Mapping[str, list[BatchResult]], url: str) -> None:
        """Each answer as a row of the ledger at `url`, at the batch rate that the adapter names."""
        baseline = self._settings.baseline_tier
        database = await Database.open(url)
        try:
            ledger = Ledger(
                database,
                baseline=tier_price(baseline, self._card),
                baseline_tier=baseline.name,
                flush_interval_s=self._settings.storage.flush_interval_s,
                max_buffered_rows=self._settings.storage.max_buffered_rows,
            )
            await ledger.start()
            for name, results in found.items():
                for result in results:
                    await _book(ledger, self._tiers[name].settings, result, self._card)
            await ledger.close()
        finally:
            await database.close()


async def _book(ledger: Ledger, tier: TierSettings, result: BatchResult, card: RateCard) -> None:
    await ledger.admit()
    number = result.custom_id.rpartition("-")[2]
    call = Call(result.custom_id, "default", time.monotonic(), feature=FEATURE, step=number)
    attempt = ledger.open(
        call,
        kind="attempt",
        tier=tier.name,
        model=tier.model,
        simulated=tier.simulated,
        settled=False,
    )
    attempt.service = "batch"
    if result.completion is not None:
        bill(attempt, tier_price(tier, card), result.completion.usage)
    attempt.cost_usd = result.cost_usd
    ledger.settle(attempt)
    attempt.judge("accepted" if result.state == "succeeded" else "failed", result.state)
