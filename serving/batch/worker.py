"""The worker: checks batches, answers their lines and ends them, one of several on one database.

Nothing that matters is in its memory alone. A line's answer counts once it is written; a worker
that is killed before has answered it for nothing, and another one answers it again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import structlog

from serving.backend import new_id
from serving.batch.answering import Answering
from serving.batch.check import check_file, unreadable
from serving.batch.files import FileStore
from serving.batch.finalize import Finalizer
from serving.batch.forgotten import Held
from serving.batch.hosted.work import Hosted
from serving.batch.leases import Leases
from serving.batch.rounds import Rounds
from serving.batch.values import Batch, Clock, LineDesk, utc_now
from serving.settings.batch import BatchSettings
from serving.storage.database import Database

ROWS = 500
SWEEP_S = 600.0
RENEWALS = 4  # in the time of one lease

_log = structlog.get_logger("stepwell.batch")


class Worker:
    """Runs from `start` to `close`, in one event loop. `max_line_bytes` bounds a line."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        desk: LineDesk,
        settings: BatchSettings,
        *,
        max_line_bytes: int,
        clock: Clock = utc_now,
        hosted: Hosted | None = None,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """`busy` says whether lines should leave room for clients that wait."""
        hosted = hosted or Hosted({})
        self._busy = busy
        self._files = files
        self._desk = desk
        self._settings = settings
        self._max_line_bytes = max_line_bytes
        self._clock = clock
        me = new_id()
        self._leases = Leases(database, me, lease_s=settings.lease_s, clock=clock)
        self._finalizer = Finalizer(database, files, self._leases, clock, book=hosted.book)
        self._answering = Answering(
            self._leases, files, desk, settings, clock, ended=self.wake, hosted=hosted
        )
        self._hosted = hosted.working(database, me, settings, clock=clock, resumed=self.wake)
        self._rounds = Rounds(self._turn, poll_s=settings.poll_s, failed="batch_turn_failed")
        self._renewing: asyncio.Task[None] | None = None
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._held: set[str] = set()
        self._turns = 0
        self._next_sweep = self._next_tidy = 0.0

    def wake(self) -> None:
        """There may be something to do before the next poll."""
        self._rounds.wake()

    async def start(self) -> None:
        await self._leases.renew()
        self._renewing = asyncio.create_task(self._renew())
        self._rounds.start()

    async def close(self, drain_s: float = 0.0) -> None:
        """Takes no more lines, waits `drain_s` for those under way, and gives the rest back."""
        assert self._renewing is not None, "it has been started"
        await self._rounds.close()
        await asyncio.gather(self._answering.close(drain_s), self._hosted.close(drain_s))
        await _stopped([*self._jobs.values(), self._renewing])
        with contextlib.suppress(Exception):  # else the lease ends by itself
            await self._leases.end()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_s / RENEWALS)
            try:
                await self._leases.renew()
            except Exception as error:
                _log.warning("batch_lease_not_renewed", error=type(error).__name__)

    async def _turn(self) -> None:
        """Lines follow each other at once; for all else it is soon enough every `poll_s`."""
        tidies = time.monotonic() >= self._next_tidy
        if tidies:
            self._next_tidy = time.monotonic() + self._settings.poll_s
            await self._leases.free_lost()
            await self._leases.free_forgotten(self._held_now())
            await self._finalizer.settle()
        await self._answering.only(await self._leases.running(self._answering.batch_ids))
        if tidies:
            await self._work("check", self._check, "validating")
            await self._work("finalize", self._finalize, "finalizing", "cancelling")
            await self._hosted.turn()
        if time.monotonic() >= self._next_sweep and "sweep" not in self._jobs:
            self._next_sweep = time.monotonic() + SWEEP_S
            self._begin("sweep", self._sweep())
        await self._claim()

    def _held_now(self) -> Held:
        return Held(self._answering.held, self._held, self._hosted.held)

    async def _claim(self) -> None:
        """Shares what is free among the batches, so that a small one need not wait for a large."""
        free = self._at_once - len(self._answering)
        if free <= 0:
            return
        queue = await self._leases.ready(self._turns, free)
        self._turns += 1
        for i, batch in enumerate(queue):
            free = self._at_once - len(self._answering)
            if free <= 0:
                return
            share = -(-free // (len(queue) - i))
            for line in await self._leases.claim_lines(batch, share):
                self._answering.begin(line)

    @property
    def _at_once(self) -> int:
        settings = self._settings
        if not self._busy():
            return settings.concurrency
        return min(settings.concurrency, settings.busy_concurrency)

    async def _work(self, name: str, job: Callable[[Batch], Awaitable[None]], *of: Any) -> None:
        """One batch at a time is checked, one finalized, beside the lines."""
        if name in self._jobs:
            return
        batch = await self._leases.claim_batch(*of)
        if batch is not None:
            self._held.add(batch.id)
            self._begin(name, self._holding(job, batch))

    async def _holding(self, job: Callable[[Batch], Awaitable[None]], batch: Batch) -> None:
        try:
            await job(batch)
        finally:
            try:
                await self._leases.leave_batch(batch.id)
            finally:  # where that failed, it is freed as forgotten
                self._held.discard(batch.id)

    def _begin(self, name: str, job: Any) -> None:
        task = asyncio.create_task(self._to_its_end(name, job))
        self._jobs[name] = task

    async def _to_its_end(self, name: str, job: Awaitable[None]) -> None:
        try:
            await job
            self.wake()
        except Exception:
            _log.exception("batch_job_failed", job=name)
        finally:
            del self._jobs[name]

    async def _check(self, batch: Batch) -> None:
        path, settings = self._files.path(batch.input_file_id), self._settings
        try:
            found = await check_file(
                path,
                batch,
                self._desk,
                max_lines=settings.max_lines,
                max_line_bytes=self._max_line_bytes,
            )
        except FileNotFoundError:
            errors = list(unreadable())
        else:
            errors = found.errors
        if errors:
            now = self._clock()
            await self._leases.advance(batch, status="failed", failed_at=now, errors=errors)
            return
        for start in range(0, len(found.lines), ROWS):
            rows = found.rows(batch.id, slice(start, start + ROWS))
            if not await self._leases.put_lines(batch, rows):
                return
        total = len(found.lines)
        now = self._clock()
        await self._leases.advance(batch, status="in_progress", in_progress_at=now, total=total)

    async def _finalize(self, batch: Batch) -> None:
        if await self._finalizer.finalize(batch):
            _log.info("batch_ended", batch=batch.id)
            await self._finalizer.sweep()

    async def _sweep(self) -> None:
        await self._finalizer.sweep()
        await self._files.sweep()
        await self._hosted.sweep()


async def _stopped(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
