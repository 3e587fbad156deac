"""What the memory does beside answering: it hears of orders from other processes, writes down what
it has learned, and says how it does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from cache.semantic.local import LocalMemory
from cache.semantic.purge import Purge
from cache.semantic.rate import rate
from cache.semantic.shelf import Shelf
from serving.storage.epochs import EpochStore
from serving.storage.semantic import FILL, PURGE, SemanticEvidence, SemanticOrders
from serving.telemetry.semantic import SemanticMetrics

SAVE_S = 5.0
WINDOW = timedelta(days=30)
"""How far back the exported false-hit rate looks."""

_log = structlog.get_logger("stepwell.cache")


class Upkeep:
    """`reopen` reads the shelf anew; `on_purge` is called after each purge. `newest` is the epoch
    that was known before the shelf was read.
    """

    def __init__(
        self,
        memory: LocalMemory,
        *,
        epochs: EpochStore,
        orders: SemanticOrders,
        evidence: SemanticEvidence,
        reopen: Callable[[], Awaitable[Shelf]],
        on_purge: Sequence[Callable[[], None]],
        metrics: SemanticMetrics,
        poll_s: float,
        newest: int,
    ) -> None:
        self._memory = memory
        self._epochs = epochs
        self._orders = orders
        self._evidence = evidence
        self._reopen = reopen
        self._on_purge = on_purge
        self._metrics = metrics
        self._poll_s = poll_s
        self._newest = newest
        self._saved_at = float("-inf")
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="semantic cache orders")

    async def close(self) -> None:
        """What was learned is written; then the shelf is closed."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        try:
            await self._save()
        except Exception as error:
            _log.error("semantic_evidence_lost", error=type(error).__name__)
        await self._memory.shelf.close()

    async def turn(self) -> None:
        """Looks for orders and carries them out; every `SAVE_S` it writes and tells figures."""
        await self._obey()
        if time.monotonic() - self._saved_at >= SAVE_S:
            self._saved_at = time.monotonic()
            await self._save()
            await self._tell()

    async def _run(self) -> None:
        while True:
            try:
                await self.turn()
            except Exception as error:  # whatever it is, the next turn tries again
                if not self._failing:
                    _log.error("semantic_orders_not_read", error=type(error).__name__)
                self._failing = True
            else:
                self._failing = False
            await asyncio.sleep(self._poll_s)

    async def _obey(self) -> None:
        changes = await self._epochs.changes(self._newest)
        purges = [s.removeprefix(PURGE) for s in changes.scopes if s.startswith(PURGE)]
        filled = any(s.startswith(FILL) for s in changes.scopes)
        for purge_id in purges:
            what = await self._orders.purged(purge_id)
            filled = filled or what is None
            if what is not None:
                gone = await self._memory.shelf.purge(Purge(**what))
                self._metrics.evicted("purge", gone)
        if filled or not changes.complete:
            old, self._memory.shelf = self._memory.shelf, await self._reopen()
            await old.close()
        if purges or not changes.complete:
            for forget in self._on_purge:
                forget()
        self._newest = changes.newest

    async def _save(self) -> None:
        changed = self._memory.cuts.take_changes()
        try:
            await self._evidence.save(changed)
        except BaseException:
            self._memory.cuts.give_back(changed)
            raise

    async def _tell(self) -> None:
        stats = self._memory.shelf.stats()
        self._metrics.size(stats.entries, stats.bytes)
        tallies = await self._evidence.tallies(since=datetime.now(UTC) - WINDOW)
        for task, tally in tallies.items():
            found = rate(tally.wrong, tally.checked)
            self._metrics.rate(task, estimate=found.estimate, low=found.low, high=found.high)
