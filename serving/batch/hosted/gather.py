"""Gathers parked lines into hosted batches, each stored as an intent before anything leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Integer, and_, cast, exists, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.backend import new_id
from serving.batch.hosted.parking import back
from serving.batch.hosted.rules import Sending, arrange
from serving.batch.hosted.store import release_stranded
from serving.batch.hosted.values import AT_WORK, BatchTier, ParkedRow, Tiers
from serving.batch.rows import written
from serving.batch.values import Clock
from serving.batches import BatchLimits
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from serving.storage.work import (
    batch_lines,
    batches,
    hosted_batches,
    hosted_lines,
    parked_lines,
)

MOST_BYTES = 64_000_000
"""Of a hosted batch: all of it is in memory while it is sent."""
LOCK = 7_251_008_411
ROWS = 500
P = parked_lines.c

GATHERABLE = and_(P.state == "waiting", P.after.is_(None))


@dataclass(frozen=True, slots=True)
class _Group:
    tenant: str
    tier: str
    lines: int
    bytes: int
    warm: int


class Gatherer:
    """Lines of different tenants never meet in a hosted batch."""

    def __init__(
        self, database: Database, tiers: Tiers, settings: BatchSettings, clock: Clock
    ) -> None:
        self._database = database
        self._tiers = tiers
        self._settings = settings
        self._clock = clock

    async def gather(self) -> int:
        """How many sets of lines were taken. One transaction takes no more than one batch may hold,
        so it goes on until nothing is due.
        """
        await release_stranded(self._database)
        made = 0
        while more := sum([await self._gather(group) for group in await self._groups()]):
            made += more
        return made

    async def _groups(self) -> list[_Group]:
        lines, size = func.count().label("lines"), func.sum(P.size).label("bytes")
        warm = func.sum(cast(P.warm, Integer)).label("warm")
        query = select(P.tenant, P.tier, lines, size, warm).where(
            GATHERABLE, P.tier.in_(self._tiers)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(query.group_by(P.tenant, P.tier))
            return [_Group(r.tenant, r.tier, r.lines, int(r.bytes), int(r.warm)) for r in rows]

    async def _gather(self, group: _Group) -> int:
        limits = self._limits(self._tiers[group.tier])
        full = group.lines >= limits.lines or group.bytes >= limits.bytes
        if not (full or group.warm or await self._idle(group)):
            return 0

        async def work(connection: AsyncConnection) -> int:
            if self._database.dialect == "postgresql":  # two at once would split the prefixes
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            return await self._make(connection, group, limits, warm=not full and not idle)

        idle = await self._idle(group)
        return await written(self._database, work)

    async def _idle(self, group: _Group) -> bool:
        """Whether lines have waited long enough of whose batch nothing runs any more, or whose
        batch has little time left.
        """
        now, settings = self._clock(), self._settings
        since = now - timedelta(seconds=settings.flush_s)
        late = batches.c.expires_at < now + timedelta(seconds=self._two_rounds_s)
        mine = and_(GATHERABLE, P.tenant == group.tenant, P.tier == group.tier)
        below = exists().where(
            batch_lines.c.batch_id == batches.c.id, batch_lines.c.state.in_(("waiting", "leased"))
        )
        ripe = select(P.batch_id).where(mine, P.parked_at <= since).distinct()
        query = select(batches.c.id).where(batches.c.id.in_(ripe), or_(~below, late)).limit(1)
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def _make(
        self, connection: AsyncConnection, group: _Group, limits: BatchLimits, *, warm: bool
    ) -> int:
        mine = and_(GATHERABLE, P.tenant == group.tenant, P.tier == group.tier)
        if warm:
            mine = and_(mine, P.warm)
        # Before the lines are read: what one that ends just now has released is among them.
        writing = await self._writing(connection, group)
        columns = (P.batch_id, P.number, P.custom_id, P.prefix, P.prefix_tokens, P.size, P.warm)
        query = select(*columns, P.expires_at, P.rest_tokens, P.output_tokens)
        query = query.add_columns(P.request_id, P.turn, batches.c.key_id)
        query = query.join(batches, batches.c.id == P.batch_id)
        query = query.where(mine, batches.c.status == "in_progress")
        query = query.order_by(P.prefix, P.batch_id, P.number).limit(limits.lines)
        locked = query.with_for_update(of=parked_lines, skip_locked=True)
        rows = (await connection.execute(locked)).all()
        arranged = arrange(
            [ParkedRow.of(row) for row in rows],
            pays=self._tiers[group.tier].pays,
            limits=limits,
            rounds_fit=self._rounds_fit(rows),
            writing=writing,
            cheaper_live=self._tiers[group.tier].cheaper_live,
        )
        owners = {row.custom_id: row for row in rows}
        for sending in arranged.sendings:
            await self._intend(connection, group, sending, owners)
        for row, hosted_id in arranged.joins:
            await _set(connection, [row], after=hosted_id)
        if arranged.live:
            await back(connection, [((row.batch_id, row.number), None) for row in arranged.live])
        return len(arranged.sendings) + len(arranged.joins) + len(arranged.live)

    async def _writing(self, connection: AsyncConnection, group: _Group) -> dict[str, str]:
        """Prefixes that are being written, and by which hosted batch. It does not end before this
        transaction does, so whoever joins it now is released with the others.
        """
        mine = and_(P.tenant == group.tenant, P.tier == group.tier, P.after.is_not(None))
        rows = (await connection.execute(select(P.prefix, P.after).where(mine).distinct())).all()
        h = hosted_batches.c
        ids = {row.after for row in rows}
        working = select(h.id).where(h.id.in_(ids), h.state.in_(AT_WORK)).order_by(h.id)
        held = set((await connection.execute(working.with_for_update())).scalars()) if ids else ids
        return {row.prefix: row.after for row in rows if row.after in held}

    async def _intend(
        self,
        connection: AsyncConnection,
        group: _Group,
        sending: Sending,
        owners: dict[str, Any],
    ) -> None:
        now, hosted_id = self._clock(), f"hosted_{new_id()}"
        size = sum(row.size for row in sending.rows)
        batch = {
            "id": hosted_id,
            "tenant": group.tenant,
            "tier": group.tier,
            "state": "intent",
            "purpose": sending.purpose,
            "adopted": False,
            "rejected": [],
            "lines": len(sending.rows),
            "bytes": size,
            "tries": 0,
            "created_at": now,
            "next_at": now,
        }
        await connection.execute(insert(hosted_batches).values(batch))
        lines = [_member(hosted_id, row, owners[row.custom_id]) for row in sending.rows]
        for start in range(0, len(lines), ROWS):  # others have their turn in between
            await connection.execute(insert(hosted_lines), lines[start : start + ROWS])
        sent = {"state": "sent", "hosted_id": hosted_id, "tries": P.tries + 1, "warm": False}
        marked = [row for row in sending.rows if row.custom_id in sending.marked]
        plain = [row for row in sending.rows if row.custom_id not in sending.marked]
        await _set(connection, marked, **sent, marked=True)
        await _set(connection, plain, **sent, marked=False)
        await _set(connection, sending.waiting, after=hosted_id)

    def _limits(self, tier: BatchTier) -> BatchLimits:
        most = tier.backend.limits
        lines = min(most.lines, self._settings.flush_lines)
        return BatchLimits(lines, min(most.bytes, MOST_BYTES))

    def _rounds_fit(self, rows: Sequence[Any]) -> bool:
        """Whether the time is enough for two hosted batches, one after the other."""
        if not rows:
            return False
        left = min(row.expires_at for row in rows) - self._clock()
        return bool(left.total_seconds() >= self._two_rounds_s)

    @property
    def _two_rounds_s(self) -> float:
        return 2 * self._settings.hosted_s + self._settings.live_s


def _member(hosted_id: str, row: ParkedRow, owner: Any) -> dict[str, Any]:
    return {
        "hosted_id": hosted_id,
        "custom_id": row.custom_id,
        "batch_id": row.batch_id,
        "number": row.number,
        "key_id": owner.key_id,
        "request_id": owner.request_id,
        "turn": owner.turn,
        "state": "sent",
    }


async def _set(connection: AsyncConnection, rows: Sequence[ParkedRow], **values: Any) -> None:
    by_batch: dict[str, list[int]] = {}
    for row in rows:
        by_batch.setdefault(row.batch_id, []).append(row.number)
    for batch_id, numbers in by_batch.items():
        for start in range(0, len(numbers), ROWS):
            some = numbers[start : start + ROWS]
            mine = and_(P.batch_id == batch_id, P.number.in_(some))
            await connection.execute(update(parked_lines).where(mine).values(**values))
