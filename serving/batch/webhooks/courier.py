"""Delivers what is owed, at least once, beside the worker of any process on the database."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import Protocol

import structlog

from serving.batch.rounds import Rounds
from serving.batch.values import Clock, utc_now
from serving.batch.webhooks.notice import Notice
from serving.batch.webhooks.queue import Notices
from serving.batch.webhooks.send import Sender, Tried
from serving.settings.webhooks import WebhookSettings
from serving.storage.database import Database

AT_ONCE, PER_HOST = 16, 4
LEASE_MARGIN_S = 30.0
KEPT = timedelta(days=7)
"""How long notices stay readable in the database after their end."""
SWEEP_S = 3_600.0

_log = structlog.get_logger("stepwell.webhooks")


class Counts(Protocol):
    def tried(self, result: str) -> None:
        """`delivered`, `again` or `failed`."""
        ...


class Courier:
    """Runs from `start` to `close`, in one event loop. It closes neither database nor sender. A
    notice that a process took and did not finish is another's `margin_s` after a try's time.
    """

    def __init__(
        self,
        database: Database,
        sender: Sender,
        settings: WebhookSettings,
        counts: Counts,
        *,
        poll_s: float,
        margin_s: float = LEASE_MARGIN_S,
        clock: Clock = utc_now,
    ) -> None:
        lease_s = settings.timeout_s + margin_s
        self._notices = Notices(database, lease_s=lease_s, clock=clock)
        self._sender = sender
        self._settings = settings
        self._counts = counts
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rounds = Rounds(self._turn, poll_s=poll_s, failed="webhook_turn_failed")
        self._next_sweep = 0.0

    def wake(self) -> None:
        """Something may be owed before the next poll."""
        self._rounds.wake()

    async def start(self) -> None:
        self._rounds.start()

    async def close(self, drain_s: float = 0.0) -> None:
        """Takes no more, and waits `drain_s` for tries under way. What is cut off then is delivered
        once its lease is over.
        """
        await self._rounds.close()
        if self._tasks and drain_s > 0:
            await asyncio.wait(self._tasks, timeout=drain_s)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _turn(self) -> None:
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + SWEEP_S
            await self._notices.sweep(self._clock() - KEPT)
        free = AT_ONCE - len(self._tasks)
        if free > 0:
            for notice in await self._notices.claim(free, self._running, PER_HOST):
                self._begin(notice)

    def _begin(self, notice: Notice) -> None:
        task = asyncio.create_task(self._deliver(notice))
        self._running[notice.host] += 1
        self._tasks.add(task)

        def over(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._running[notice.host] -= 1
            if not self._running[notice.host]:
                del self._running[notice.host]
            self.wake()

        task.add_done_callback(over)

    async def _deliver(self, notice: Notice) -> None:
        try:
            await self._record(notice, await self._sender.send(notice))
        except Exception:  # its lease ends, and it is tried again
            _log.exception("webhook_try_failed", webhook=notice.id, subject=notice.subject)

    async def _record(self, notice: Notice, tried: Tried) -> None:
        if tried.delivered:
            await self._notices.delivered(notice, tried.outcome)
            self._counts.tried("delivered")
            return
        due_at = self._clock() + timedelta(seconds=self._pause_s(notice, tried))
        ends = notice.created_at + timedelta(seconds=self._settings.give_up_s)
        if due_at < ends and not tried.final:
            await self._notices.again(notice, tried.outcome, due_at)
            self._counts.tried("again")
        elif await self._notices.failed(notice, tried.outcome):
            self._counts.tried("failed")
            # Neither the URL, which may hold a secret, nor the payload.
            _log.error(
                "webhook_failed",
                webhook=notice.id,
                webhook_event=notice.event,
                subject=notice.subject,
                host=notice.host,
                tries=notice.tries,
                outcome=tried.outcome,
            )

    def _pause_s(self, notice: Notice, tried: Tried) -> float:
        """Doubled from try to try; longer where the receiver asks for it, never beyond the most."""
        doubled = self._settings.retry_s * 2.0 ** min(notice.tries - 1, 30)
        return min(max(doubled, tried.pause_s or 0.0), self._settings.max_retry_s)
