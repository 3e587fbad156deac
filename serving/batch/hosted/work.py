"""What a worker does beside answering lines: everything that concerns hosted batches."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from serving.batch.hosted.collect import Collector
from serving.batch.hosted.gather import MOST_BYTES, Gatherer
from serving.batch.hosted.noted import Noted, Unnoted, note_stand
from serving.batch.hosted.parking import Stay, promote, stay
from serving.batch.hosted.rules import may_park
from serving.batch.hosted.store import HostedStore
from serving.batch.hosted.submit import SKEW, Submitter
from serving.batch.hosted.values import BatchTier, Book, HostedBatch, LateResult, Tiers
from serving.batch.hosted.verdicts import Verdicts
from serving.batch.values import Batch, ClaimedLine, Clock, Parked, Resumed, utc_now
from serving.batches import BatchResult
from serving.errors import StepwellError
from serving.settings.batch import BatchSettings
from serving.storage.database import Database

AT_ONCE = 4
"""Hosted batches that a worker deals with at once; each holds what it sends in memory."""
NOTE_S = 15.0
KEPT = timedelta(days=30)
"""Providers keep results for 29 days."""

_log = structlog.get_logger("stepwell.batch.hosted")


async def _book_nothing(_late: LateResult) -> None:
    return None


async def _flush_nothing() -> None:
    return None


class Hosted:
    """The batch endpoints of `tiers`, for one worker. Belongs to one event loop. `flush` writes
    what the ledger has booked so far.
    """

    def __init__(
        self,
        tiers: Tiers,
        *,
        book: Book = _book_nothing,
        flush: Callable[[], Awaitable[None]] = _flush_nothing,
        noted: Noted | None = None,
    ) -> None:
        self._tiers = tiers
        self._book = book
        self.flush = flush
        self._noted: Noted = noted or Unnoted()

    @property
    def tiers(self) -> Tiers:
        return self._tiers

    def parks(self, batch: Batch, clock: Clock, settings: BatchSettings) -> frozenset[str]:
        """Tiers whose batch endpoint a line of this batch may wait for now."""
        left_s = (batch.expires_at - clock()).total_seconds()
        return frozenset(self._tiers) if may_park(left_s, settings) else frozenset()

    async def stay(self, line: ClaimedLine, parked: Parked, now: datetime) -> Stay | Resumed:
        """Its place among the parked lines; or what the line goes on with at once, where no batch
        can take it.
        """
        tier = self._tiers[parked.tier]
        try:
            made = await asyncio.to_thread(stay, line, parked, tier, now)
        except StepwellError as error:  # as it would be told hours later
            refused = BatchResult("", "errored", error=error, cost_usd=Decimal(0))
            return Resumed(parked.journal, refused)
        most = min(tier.backend.limits.bytes, MOST_BYTES)
        return made if len(made.marked.line.data) <= most else Resumed(parked.journal, None)

    async def book(self, late: LateResult) -> None:
        await self._book(late)

    def working(
        self,
        database: Database,
        worker_id: str,
        settings: BatchSettings,
        *,
        clock: Clock = utc_now,
        resumed: Callable[[], None],
    ) -> "HostedWork":
        return HostedWork(
            self._tiers,
            HostedStore(database, worker_id, clock),
            settings,
            clock,
            book=self._book,
            noted=self._noted,
            resumed=resumed,
        )


class HostedWork:
    """`turn` begins what is due and returns; `close` waits for it."""

    def __init__(
        self,
        tiers: Tiers,
        store: HostedStore,
        settings: BatchSettings,
        clock: Clock,
        *,
        book: Book,
        noted: Noted,
        resumed: Callable[[], None],
    ) -> None:
        self._tiers = tiers
        self._store = store
        self._settings = settings
        self._clock = clock
        self._noted = noted
        self._resumed = resumed

        def ambiguous(hosted: HostedBatch) -> None:
            noted.ambiguous(hosted.tier)

        verdicts = Verdicts(store, settings, clock, book=book, resumed=resumed, ambiguous=ambiguous)
        self._submitter = Submitter(store, verdicts, settings, clock)
        self._collector = Collector(store, verdicts, settings, clock)
        self._gatherer = Gatherer(store.database, tiers, settings, clock)
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._next_note = 0.0

    @property
    def held(self) -> set[str]:
        """The hosted batches that this worker deals with right now."""
        return set(self._tasks.values())

    async def turn(self) -> None:
        database, now = self._store.database, self._clock()
        if promoted := await promote(database, self._tiers, self._settings, now):
            _log.info("batch_lines_promoted", lines=promoted)
            self._noted.promoted(promoted)
        if time.monotonic() >= self._next_note:
            self._next_note = time.monotonic() + NOTE_S
            await note_stand(database, self._noted, now)
        if self._tiers:
            await self._gatherer.gather()
        while self._tiers and len(self._tasks) < AT_ONCE:
            hosted = await self._store.claim(self._tiers)
            if hosted is None:
                return
            task = asyncio.create_task(self._deal(hosted, self._tiers[hosted.tier]))
            self._tasks[task] = hosted.id
            task.add_done_callback(self._tasks.pop)

    async def sweep(self) -> None:
        await self._store.sweep(self._clock() - KEPT - SKEW)

    async def close(self, drain_s: float) -> None:
        """What is cut short is taken up by another worker; a submit is ambiguous then."""
        tasks: Collection[asyncio.Task[None]] = list(self._tasks)
        if tasks and drain_s > 0:
            await asyncio.wait(tasks, timeout=drain_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deal(self, hosted: HostedBatch, tier: BatchTier) -> None:
        next_at = None
        try:
            await self._step(hosted)(hosted, tier)
        except Exception:
            _log.exception("hosted_batch_not_dealt_with", state=hosted.state)
            # Else it would be claimed again at once, before all others.
            next_at = self._clock() + timedelta(seconds=self._settings.hosted_poll_s)
        try:
            await self._store.leave(hosted.id, next_at)
        except Exception as error:  # `free_forgotten` does it later
            _log.warning("hosted_batch_not_left", error=type(error).__name__)
        self._resumed()

    def _step(self, hosted: HostedBatch) -> Callable[[HostedBatch, BatchTier], Awaitable[None]]:
        match hosted.state:
            case "intent":
                return self._submitter.submit
            case "sending" | "ambiguous":
                return self._submitter.find
            case "submitted":
                return self._collector.poll
        return self._collector.collect
