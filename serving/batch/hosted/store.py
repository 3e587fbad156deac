"""Hosted batches in the database, each in the hands of one worker at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.hosted.mark import without_mark
from serving.batch.hosted.values import AT_WORK, HostedBatch
from serving.batch.leases import alive
from serving.batch.rows import written
from serving.batch.values import Clock
from serving.batches import PreparedLine
from serving.storage.database import Database
from serving.storage.work import batches, hosted_batches, hosted_lines, parked_lines

PAGE = 500
H, L, P = hosted_batches.c, hosted_lines.c, parked_lines.c


@dataclass(frozen=True, slots=True)
class Others:
    """`known`: the provider's ids that belong to some hosted batch. `searching`: one of the same
    size looks for its own, too. `unproven`: one of the same size was adopted and not proven yet.
    """

    known: frozenset[str]
    searching: bool
    unproven: bool


class HostedStore:
    """For the worker of this id. What is changed is changed on the condition that the hosted batch
    is still this worker's and as it was claimed. Raises what the database raises.
    """

    def __init__(self, database: Database, worker_id: str, clock: Clock) -> None:
        self.database = database
        self._me = worker_id
        self._clock = clock

    async def claim(self, tiers: Collection[str]) -> HostedBatch | None:
        """The one that has waited longest for something to be done, of these tiers."""
        now = self._clock()
        free = or_(H.owner.is_(None), H.owner.not_in(alive(now)))
        due = and_(H.state.in_(AT_WORK), H.next_at <= now, H.tier.in_(tiers), free)
        query = select(hosted_batches).where(due).order_by(H.next_at).limit(1)
        async with self.database.read() as connection:
            if (await connection.execute(query)).one_or_none() is None:
                return None

        async def work(connection: AsyncConnection) -> HostedBatch | None:
            row = (await connection.execute(query.with_for_update(skip_locked=True))).one_or_none()
            if row is None:
                return None
            mine = update(hosted_batches).where(H.id == row.id)
            await connection.execute(mine.values(owner=self._me))
            return hosted_of(row)

        return await written(self.database, work)

    async def leave(self, hosted_id: str, next_at: datetime | None = None) -> None:
        """Leaves it where it is still this worker's; until `next_at`, where that is given."""
        values = {"owner": None} | ({} if next_at is None else {"next_at": next_at})

        async def work(connection: AsyncConnection) -> None:
            mine = and_(H.id == hosted_id, H.owner == self._me)
            await connection.execute(update(hosted_batches).where(mine).values(values))

        await self.database.write(work)

    async def holds(self, connection: AsyncConnection, hosted: HostedBatch) -> bool:
        same = and_(H.id == hosted.id, H.owner == self._me, H.state == hosted.state)
        query = select(H.id).where(same).with_for_update()
        return (await connection.execute(query)).one_or_none() is not None

    async def change(self, hosted: HostedBatch, **values: Any) -> HostedBatch | None:
        """The batch as it is then, still this worker's; None where it was not."""

        async def work(connection: AsyncConnection) -> HostedBatch | None:
            if not await self.holds(connection, hosted):
                return None
            return await changed(connection, hosted.id, values)

        return await written(self.database, work)

    async def begin_sending(self, hosted: HostedBatch) -> HostedBatch | None:
        """From now on it may have left. Lines that were taken away meanwhile are not sent; None
        where none are left, or it is not this worker's.
        """

        async def work(connection: AsyncConnection) -> HostedBatch | None:
            if not await self.holds(connection, hosted):
                return None
            gone = and_(L.hosted_id == hosted.id, ~_awaited())
            await connection.execute(delete(hosted_lines).where(gone))
            sizes = select(P.size).where(P.hosted_id == hosted.id, P.state == "sent", _open())
            found = list((await connection.execute(sizes)).scalars())
            if not found:
                await changed(connection, hosted.id, {"state": "done", "owner": None})
                return None
            values = {"state": "sending", "sent_at": self._clock()}
            return await changed(
                connection, hosted.id, {**values, "lines": len(found), "bytes": sum(found)}
            )

        return await written(self.database, work)

    async def prepared(self, hosted: HostedBatch) -> list[PreparedLine]:
        """What is sent, in the order of prefixes; a breakpoint that does not pay is left out. Only
        lines of which it is known that they were sent, since what comes of others is nobody's.
        """
        columns = (P.custom_id, P.marked, P.mark_at, P.mark_size, P.data)
        order = (P.prefix, P.batch_id, P.number)
        member = exists().where(L.hosted_id == hosted.id, L.custom_id == P.custom_id)
        mine = and_(P.hosted_id == hosted.id, P.state == "sent", _open(), member)
        query = select(*columns, *order).where(mine).order_by(*order)
        lines: list[PreparedLine] = []
        async with self.database.read() as connection:
            async for row in await connection.stream(query):
                plain = row.mark_size and not row.marked
                data = without_mark(row.data, row.mark_at, row.mark_size) if plain else row.data
                lines.append(PreparedLine(row.custom_id, data))
        return lines

    async def custom_ids(self, hosted: HostedBatch, some: Collection[str]) -> bool:
        """Whether one of these is a line of this batch."""
        query = select(L.custom_id).where(L.hosted_id == hosted.id, L.custom_id.in_(some)).limit(1)
        async with self.database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def is_awaited(self, hosted: HostedBatch) -> bool:
        """Whether any line still waits for this batch, or would take its result."""
        comes = and_(L.hosted_id == hosted.id, L.custom_id == P.custom_id, L.state == "sent")
        query = select(P.number).where(P.hosted_id == hosted.id, _open(), exists().where(comes))
        query = query.limit(1)
        async with self.database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def others(self, hosted: HostedBatch) -> Others:
        same = and_(H.id != hosted.id, H.lines == hosted.lines)
        known = select(H.provider_id).where(H.provider_id.is_not(None))
        searching = select(H.id).where(same, H.state.in_(("sending", "ambiguous"))).limit(1)
        adopted = and_(same, H.adopted, H.state.in_(("submitted", "ended")))
        async with self.database.read() as connection:
            ids = frozenset((await connection.execute(known)).scalars())
            finds = (await connection.execute(searching)).first() is not None
            unproven = (await connection.execute(select(H.id).where(adopted).limit(1))).first()
        return Others(ids | frozenset(hosted.rejected), finds, unproven is not None)

    async def sweep(self, before: datetime) -> None:
        """Forgets batches that ended long ago."""

        async def work(connection: AsyncConnection) -> None:
            over = and_(H.state.in_(("done", "lost")), H.created_at < before)
            ids = list((await connection.execute(select(H.id).where(over).limit(PAGE))).scalars())
            await connection.execute(delete(hosted_lines).where(L.hosted_id.in_(ids)))
            await connection.execute(delete(hosted_batches).where(H.id.in_(ids)))

        await self.database.write(work)


async def changed(
    connection: AsyncConnection, hosted_id: str, values: dict[str, Any]
) -> HostedBatch:
    await connection.execute(update(hosted_batches).where(H.id == hosted_id).values(values))
    if values.get("state") in ("done", "lost"):
        await _release_followers(connection, hosted_id)
    row = (await connection.execute(select(hosted_batches).where(H.id == hosted_id))).one()
    return hosted_of(row)


async def release_stranded(database: Database) -> None:
    """Releases lines that wait for a hosted batch which is over."""
    waited = select(P.after).where(P.after.is_not(None)).distinct()
    async with database.read() as connection:
        after = set((await connection.execute(waited)).scalars())
        working = select(H.id).where(H.id.in_(after), H.state.in_(AT_WORK))
        over = after - set((await connection.execute(working)).scalars()) if after else after

    async def work(connection: AsyncConnection) -> None:
        for hosted_id in sorted(over):
            await _release_followers(connection, hosted_id)

    if over:
        await database.write(work)


async def _release_followers(connection: AsyncConnection, hosted_id: str) -> None:
    """Lines that waited for a prefix to be written are sent now. Where it was not written, they
    are gathered as if for the first time.
    """
    written_ = exists().where(L.hosted_id == hosted_id, L.state.in_(("done", "late")))
    values = {"after": None, "warm": case((written_, True), else_=False)}
    await connection.execute(update(parked_lines).where(P.after == hosted_id).values(values))


def hosted_of(row: Row[Any]) -> HostedBatch:
    columns = hosted_batches.columns
    return HostedBatch(**{column.name: row._mapping[column.name] for column in columns})


def keys_of(rows: Sequence[Any]) -> list[tuple[str, int]]:
    return [(row.batch_id, row.number) for row in rows]


def _open() -> ColumnElement[bool]:
    """Of a parked line: its batch has not ended."""
    return exists().where(batches.c.id == P.batch_id, batches.c.status == "in_progress")


def _awaited() -> ColumnElement[bool]:
    """Of a line of a hosted batch: it waits for its result there, and for nothing else."""
    return exists().where(
        P.batch_id == L.batch_id,
        P.number == L.number,
        P.hosted_id == L.hosted_id,
        P.state == "sent",
        batches.c.id == P.batch_id,
        batches.c.status == "in_progress",
    )
