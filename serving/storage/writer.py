"""Writes rows behind the requests' back, in batches, and loses none while it lives."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.storage.database import Database
from serving.storage.upsert import Row

BATCH_ROWS = 250  # binding a batch's values holds the event loop for a few milliseconds
CLOSE_RETRIES = 5

_log = structlog.get_logger("stepwell.storage")


class BatchWriter:
    """Buffers rows of one table by their key, the newest version of each, and upserts them every
    `flush_interval_s`.

    While the database fails, rows stay and the next flush tries again; one error is logged per
    outage. `wait_for_room` is the backpressure that keeps the buffer bounded: producers call it
    before they do what will produce a row.
    """

    def __init__(
        self,
        database: Database,
        table: Table,
        *,
        flush_interval_s: float,
        max_rows: int,
        before_flush: Callable[[], None] = lambda: None,
    ) -> None:
        """`before_flush` may put rows that are due."""
        self._database = database
        self._table = table
        self._key = table.primary_key.columns[0].name
        self._interval = flush_interval_s
        self._max_rows = max_rows
        self._rows: dict[str, Row] = {}
        self._before_flush = before_flush
        self._flushing = asyncio.Lock()
        self._making_room = asyncio.Lock()
        self._wake = asyncio.Event()
        self._closed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing = False

    def __len__(self) -> int:
        """Rows that are not written yet."""
        return len(self._rows)

    @property
    def full(self) -> bool:
        return len(self._rows) >= self._max_rows

    def put(self, row: Row) -> None:
        """Takes the row, always; a full buffer is flushed at once rather than at the interval."""
        self._rows[row[self._key]] = row
        if self.full:
            self._wake.set()

    async def wait_for_room(self) -> bool:
        """Flushes in the caller's time where the buffer is full; False where that did not help.
        In an outage it does not wait: the background task finds out when the database is back.
        """
        if self.full and not self._failing:
            async with self._making_room:
                if self.full and not self._failing:
                    await self._try_flush()
        return not self.full

    async def flush(self) -> None:
        """Writes all rows that were put before; raises what the database raises, the rows that it
        did not take kept. Callers that wait for one another's flush share its transaction. It goes
        on to its end when the caller is cancelled, so that no row is overtaken by an older version.
        """
        task = asyncio.create_task(self._flush())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _flush(self) -> None:
        async with self._flushing:
            self._before_flush()
            waiting = list(self._rows.values())
            for start in range(0, len(waiting), BATCH_ROWS):
                await self._write(waiting[start : start + BATCH_ROWS])

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"flush {self._table.name}")

    async def close(self) -> None:
        """Stops the background task and flushes. Rows that cannot be written even after retries
        are logged whole, one by one, so that they can be entered later.
        """
        self._closed.set()
        self._wake.set()
        if self._task is not None:
            await self._task
        for attempt in range(CLOSE_RETRIES):
            if await self._try_flush():
                return
            await asyncio.sleep(min(self._interval, 1.0) * (attempt + 1))
        for row in self._rows.values():
            _log.critical("row_not_written", table=self._table.name, row=_loggable(row))

    async def _run(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                # In an outage a full buffer must not make it spin.
                wake = self._closed if self._failing else self._wake
                await asyncio.wait_for(wake.wait(), self._interval)
            self._wake.clear()
            await self._try_flush()

    async def _try_flush(self) -> bool:
        try:
            await self.flush()
        except Exception as error:  # whatever it is, the rows stay and the next flush tries again
            if not self._failing:
                _log.error("flush_failed", rows=len(self._rows), error=_brief(error))
            self._failing = True
            return False
        if self._failing:
            _log.info("flush_recovered")
        self._failing = False
        return True

    async def _write(self, rows: Sequence[Row]) -> None:
        try:
            await self._database.upsert(self._table, rows)
        except Exception as error:
            if len(rows) > 1:
                # One row that the database refuses must not hold up the others.
                for row in rows:
                    await self._write([row])
                return
            if not await self._alive():
                raise
            _log.critical(
                "row_refused", table=self._table.name, error=_brief(error), row=_loggable(rows[0])
            )
        for row in rows:
            if self._rows.get(row[self._key]) is row:  # else a newer version came meanwhile
                del self._rows[row[self._key]]

    async def _alive(self) -> bool:
        """Whether the database takes writes at all, so that a failure is the row's fault."""
        try:
            await self._database.write(self._probe)
        except Exception:
            return False
        return True

    async def _probe(self, connection: AsyncConnection) -> None:
        await connection.execute(self._table.delete().where(self._table.c[self._key] == ""))


def _brief(error: Exception) -> str:
    """Without the statement and its parameters, which SQLAlchemy puts into the message."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}"


def _loggable(row: Row) -> dict[str, Any]:
    return {k: v if isinstance(v, int | float | None) else str(v) for k, v in row.items()}
