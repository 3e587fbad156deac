"""The one writer of the entries: changes that wait at the same time share a transaction."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from cache.semantic import store
from serving.errors import Overloaded
from serving.storage.database import Database
from serving.storage.upsert import Row

TOGETHER = 256
"""Changes of one transaction."""

_log = structlog.get_logger("stepwell.cache")


Work = Callable[[AsyncConnection], Awaitable[Any]]
Then = Callable[[Any], Any]
Insert = Callable[[AsyncConnection, Sequence[Row]], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Change:
    """A row to insert, or else something to do; and what is done in memory once it is durable."""

    row: Row | None
    work: Work | None
    then: Then
    done: asyncio.Future[Any]
    result: Any = field(default=None)


class Writer:
    """Changes are made in the order in which they came. Each may name what follows in memory
    (`then`, given the result): that happens in the same order, once the change is durable, even
    where its caller has left.
    """

    def __init__(self, database: Database, max_waiting: int, also: Insert | None = None) -> None:
        """`also` is called with the rows that were inserted, in their transaction."""
        self._database = database
        self._also = also
        self._max_waiting = max_waiting
        self._waiting: deque[_Change] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="semantic cache writer")

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def insert(self, row: Row, then: Then) -> Any:
        """What `then` returns. `Overloaded` where too much waits already; else what the database
        raises.
        """
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded("too many answers wait to be written to the semantic cache")
        return await asyncio.shield(self._enqueue(row, None, then))

    async def do(self, work: Work, then: Then = lambda result: result) -> Any:
        """What `then` makes of what `work` returns. `work` may be called twice, in transactions of
        which only the second is kept. Raises what it raises.
        """
        return await asyncio.shield(self._enqueue(None, work, then))

    def do_later(self, work: Work) -> None:
        """As `do`, without waiting, also while closing; a failure is logged."""
        self._enqueue(None, work, lambda result: result, late=True).add_done_callback(_said)

    async def close(self) -> None:
        """Returns when all that waits has been tried."""
        self._closed = True
        self._wake.set()
        if self._task is not None:
            await self._task

    def _enqueue(
        self, row: Row | None, work: Work | None, then: Then, *, late: bool = False
    ) -> asyncio.Future[Any]:
        if self._closed and not late:
            raise Overloaded("the semantic cache is closing")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Change(row, work, then, done))
        self._wake.set()
        return done

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                count = min(len(self._waiting), TOGETHER)
                await self._write([self._waiting.popleft() for _ in range(count)])
            if self._closed:
                return

    async def _write(self, changes: Sequence[_Change]) -> None:
        try:
            await self._database.write(lambda connection: self._apply(connection, changes))
        except Exception as error:
            if len(changes) > 1:
                # One that the database refuses must not take the others with it.
                for change in changes:
                    await self._write([change])
                return
            changes[0].done.set_exception(error)
            return
        for change in changes:
            try:
                change.done.set_result(change.then(change.result))
            except Exception as error:
                change.done.set_exception(error)

    async def _apply(self, connection: AsyncConnection, changes: Sequence[_Change]) -> None:
        rows: list[Row] = []
        for change in changes:
            if change.row is not None:
                rows.append(change.row)
            elif change.work is not None:
                await self._insert(connection, rows)
                change.result = await change.work(connection)
        await self._insert(connection, rows)

    async def _insert(self, connection: AsyncConnection, rows: list[Row]) -> None:
        if rows:
            await store.insert(connection, rows)
            if self._also is not None:
                await self._also(connection, rows)
            rows.clear()


def _said(done: asyncio.Future[Any]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        cause = getattr(error, "orig", None) or error
        _log.error("semantic_write_failed", error=f"{type(cause).__name__}: {cause}")
