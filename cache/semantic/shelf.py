"""The shelf of entries: in memory for looking up, in the database to stay. It decides nothing.

An entry is in memory only once it is durable. What the database holds is the truth: at opening the
entries of this embedder are read from it, and other processes' writes are seen at the next opening.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

import structlog

from cache.answer_groups import AnswerGroups
from cache.index import Index, make_index
from cache.indexes.pgvector import PgVector
from cache.semantic import store
from cache.semantic.checked import Ids, check, check_vector, made
from cache.semantic.counted import Counted
from cache.semantic.entry import Candidate, Entry, NewEntry, Vector
from cache.semantic.forgotten import Forgotten
from cache.semantic.purge import Purge
from cache.semantic.rack import Rack
from cache.semantic.settings import ShelfSettings
from cache.semantic.stats import ShelfStats
from cache.semantic.writes import Writer
from serving.storage.database import Database

LARGE_ANSWER = 65_536

_log = structlog.get_logger("stepwell.cache")


class Shelf:
    """Belongs to one event loop, except `find` and `exact`, which any thread may call."""

    def __init__(
        self,
        database: Database,
        index: Index | None,
        *,
        embedder: str,
        dimensions: int,
        settings: ShelfSettings,
        clock: Callable[[], float],
        elsewhere: PgVector | None = None,
    ) -> None:
        """Use `open`, which also reads what is stored. `elsewhere` holds the vectors where there
        is no `index`.
        """
        self._database = database
        self._embedder = embedder
        self._dimensions = dimensions
        self._settings = settings
        self._clock = clock
        self._elsewhere = elsewhere
        also = None if elsewhere is None else elsewhere.insert
        self._writer = Writer(database, settings.max_waiting, also)
        self._rack = Rack(index, dimensions, settings, clock)
        self._ids = Ids()
        self._counted = Counted(self._writer)
        self._forgotten = Forgotten()
        self._tending: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        database: Database,
        *,
        embedder: str,
        dimensions: int,
        settings: ShelfSettings,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Returns once the entries of `embedder` are in memory. `clock` gives Unix seconds.
        `ConfigError` where a package is missing; else what the database raises.
        """
        elsewhere: PgVector | None = None
        index: Index | None = None
        if settings.index == "pgvector":
            elsewhere = await PgVector.open(database, embedder, dimensions)
        else:
            index = make_index(settings.index, dimensions, promote_at=settings.promote_at)
        self = cls(
            database,
            index,
            embedder=embedder,
            dimensions=dimensions,
            settings=settings,
            clock=clock,
            elsewhere=elsewhere,
        )
        self._writer.start()
        try:
            async for chunk in store.load(database, embedder, dimensions, clock()):
                await self._complete(chunk)
                for entry, vector in chunk:
                    self._delete_later(self._rack.keep(entry, vector))
        except BaseException:
            await self.close()
            raise
        self._rack.tally.clear()
        self._tending = asyncio.create_task(self._tend(), name="semantic cache upkeep")
        return self

    @property
    def groups(self) -> AnswerGroups:
        """Which entries are known to say the same."""
        return self._rack.groups

    def compared(self, entry_id: int, agrees: Sequence[int], differs: Sequence[int]) -> None:
        """The entry's answer says what some say, and not what others do; some may be gone since."""
        there = self._rack.get
        if there(entry_id) is not None:
            says = [other for other in agrees if there(other) is not None]
            denies = [other for other in differs if there(other) is not None]
            self._rack.groups.compared(entry_id, says, denies)

    def find(self, scope: str, vector: Vector, most: int = 5) -> list[Candidate]:
        """The entries of the scope with the nearest questions, nearest first, none expired. Does
        no I/O. `UnfitEntry` for a vector that is not one of the embedder's; `ConfigError` where
        vectors are in pgvector, which takes `look`.
        """
        check_vector(vector, self._dimensions)
        return self._rack.nearest(scope, vector, most)

    async def look(self, scope: str, vector: Vector, most: int = 5) -> list[Candidate]:
        """As `find`, for any index, also one that is searched elsewhere, which may wait. Raises
        what the database raises there.
        """
        there = self._elsewhere
        if there is None:
            return self.find(scope, vector, most)
        check_vector(vector, self._dimensions)
        size = self._rack.size(scope)
        return await self._rack.live(lambda n: there.search(scope, size, vector, n), most)

    def exact(self, scope: str, text: str) -> Entry | None:
        """The entry with this very question, without a vector."""
        return self._rack.exact(scope, text)

    async def add(self, new: NewEntry) -> Entry | None:
        """Returns once it is durable and can be found. The same text in the same scope is
        replaced. None where it is not kept: its request's answers were evicted, it was purged
        since it was asked for, or it has expired. `UnfitEntry` where it cannot be kept as it is,
        `Overloaded` where too much waits to be written.
        """
        check(new, self._dimensions, self._settings.max_entry_bytes)
        now = self._clock()
        if self._forgotten.means(new) or new.expires_at <= now:
            return None
        if len(new.answer) > LARGE_ANSWER:
            entry = await asyncio.to_thread(made, new, self._ids.next(), now)
        else:
            entry = made(new, self._ids.next(), now)
        vector = new.vector.copy()
        row = store.as_row(entry, vector, self._embedder)

        def then(_: None) -> Entry | None:
            if self._forgotten.means(new):
                self._writer.do_later(lambda c: store.delete_ids(c, [entry.id]))
                return None
            self._rack.tally["added"] += 1
            self._delete_later(self._rack.keep(entry, vector))
            return self._rack.get(entry.id)

        kept: Entry | None = await self._writer.insert(row, then)
        return kept

    def hit(self, entry_id: int) -> None:
        """Counts that the entry gave an answer; written a little later."""
        entry = self._rack.get(entry_id)
        if entry is None:
            return
        now = self._clock()
        self._rack.kept.used(entry, now)
        self._counted.hit(entry_id, now)

    def judged(self, entry_id: int, *, wrong: bool) -> None:
        """Counts what a check of one of its answers found; written a little later."""
        entry = self._rack.get(entry_id)
        if entry is None:
            return
        self._rack.kept.judged(entry, wrong=wrong)
        self._counted.judged(entry_id, wrong=wrong)

    async def evict(self, request_id: str) -> list[Entry]:
        """Forgets the answers of this request, at once, and returns them once that is durable. One
        that is still on its way in is not kept either.
        """
        self._forgotten.evicted(request_id)
        gone = self._rack.forget([e.id for e in self._rack.kept.of_request(request_id)], "dropped")
        await self._writer.do(lambda c: store.delete_request(c, request_id))
        return gone

    async def drop(self, entry_id: int) -> bool:
        """Forgets the entry, durably; False where there is none."""
        gone = self._rack.forget([entry_id], "dropped")
        await self._writer.do(lambda c: store.delete_ids(c, [entry_id]))
        return bool(gone)

    async def purge(self, what: Purge) -> int:
        """Forgets what is meant, at once in memory, and returns how many entries there were once
        they are gone from the database, those of other embedders included.
        """
        self._forgotten.purged(self._clock(), what)
        async for ids in self._rack.in_slices():
            found = ((key, self._rack.get(key)) for key in ids)
            meant = [key for key, e in found if e is not None and what.means(e, e.created_at)]
            self._rack.forget(meant, "dropped")

        def then(ids: list[int]) -> int:
            self._rack.forget(ids, "dropped")  # what became durable meanwhile
            return len(ids)

        return int(await self._writer.do(lambda c: store.delete_meant(c, what), then))

    async def sweep(self) -> int:
        """Deletes what has expired; how many entries of any embedder there were in the database."""
        now = self._clock()
        async for ids in self._rack.in_slices():
            self._rack.forget(self._rack.kept.expired(ids, now), "expired")
        gone = 0
        while True:
            some: int = await self._writer.do(lambda c: store.delete_expired(c, now))
            gone += some
            if some < store.CHUNK:
                return gone

    def stats(self) -> ShelfStats:
        return self._rack.stats(self._writer.waiting)

    async def settle(self) -> None:
        """Returns when the index has no work left in the background."""
        if self._rack.index is not None:
            await asyncio.to_thread(self._rack.index.settle)

    async def flush(self) -> None:
        """Writes the counts that wait."""
        await self._counted.flush()

    async def close(self) -> None:
        """Writes what waits. Nothing is added after it."""
        if self._tending is not None:
            self._tending.cancel()
            with suppress(asyncio.CancelledError):
                await self._tending
        await self._counted.close()
        await self._writer.close()
        if self._rack.index is not None:
            await asyncio.to_thread(self._rack.index.close)

    async def _complete(self, chunk: Sequence[tuple[Entry, Vector]]) -> None:
        """Gives vectors that were stored before to the index elsewhere, where it lacks them."""
        there = self._elsewhere
        if there is None or not chunk:
            return
        missing = await there.missing([entry.id for entry, _ in chunk])
        rows = [store.as_row(e, v, self._embedder) for e, v in chunk if e.id in missing]
        if rows:
            await self._writer.do(lambda connection: there.insert(connection, rows))

    def _delete_later(self, ids: list[int]) -> None:
        if ids:
            self._writer.do_later(lambda connection: store.delete_ids(connection, ids))

    async def _tend(self) -> None:
        """Writes counts and deletes what has expired, in the background."""
        swept = time.monotonic()
        while True:
            await asyncio.sleep(self._settings.flush_interval_s)
            try:
                await self.flush()
                if time.monotonic() - swept >= self._settings.sweep_interval_s:
                    swept = time.monotonic()
                    await self.sweep()
            except Exception as error:  # the next turn tries again
                _log.error("semantic_upkeep_failed", error=type(error).__name__)
