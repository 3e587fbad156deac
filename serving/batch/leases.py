"""Who works on what: workers renew one lease each, and what a worker without one holds is free.

Every change of what a worker holds is made on the condition that it still holds it, so a worker
that was taken for dead and comes back can't do harm: its results are discarded.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.enqueue import hidden_line
from serving.batch.forgotten import Held, free_forgotten
from serving.batch.hosted.parking import Stay, enter, forget, going_on
from serving.batch.rows import batch_of, written
from serving.batch.turns import in_turn
from serving.batch.values import Batch, ClaimedLine, Clock, LineAnswer, Status
from serving.batch.webhooks.queue import owe_batch_end
from serving.storage.database import Database
from serving.storage.work import batch_lines, batch_workers, batches

READY = 1_000
LONG_GONE = timedelta(days=1)
PARKED = {"state": "parked", "owner": None, "not_before": None}


@dataclass(frozen=True, slots=True)
class Ended:
    """A line that is over: `result` is its line of the output or the error file."""

    line: ClaimedLine
    answer: LineAnswer
    result: bytes


class Leases:
    """What the worker of this id may do. Raises what the database raises."""

    def __init__(self, database: Database, worker_id: str, *, lease_s: float, clock: Clock) -> None:
        self._database = database
        self._me = worker_id
        self._lease = timedelta(seconds=lease_s)
        self._clock = clock

    async def renew(self) -> None:
        now = self._clock()
        row = {"id": self._me, "until": now + self._lease}
        await self._database.upsert(batch_workers, [row])

    async def end(self) -> None:
        """Everything that this worker holds is free at once."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(batch_workers).where(batch_workers.c.id == self._me))

        await self._database.write(work)
        await self.free_lost()

    async def free_lost(self) -> None:
        """Lines of workers whose lease is over wait again."""
        now = self._clock()
        held = batch_lines.c.owner.is_not(None)
        lost = and_(held, batch_lines.c.owner.not_in(alive(now)))
        query = select(batch_lines.c.batch_id).where(lost).limit(1)
        async with self._database.read() as connection:
            if (await connection.execute(query)).one_or_none() is None:
                return

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(
                update(batch_lines).where(lost).values(state="waiting", owner=None)
            )
            old = batch_workers.c.until < now - LONG_GONE
            await connection.execute(delete(batch_workers).where(old))

        await self._database.write(work)

    async def claim_batch(self, *statuses: Status) -> Batch | None:
        """The oldest batch of these states that nobody works on. One whose lines are done with
        (`cancelling`, `finalizing`) is free once no worker holds a line of it.
        """
        free = or_(batches.c.owner.is_(None), batches.c.owner.not_in(alive(self._clock())))
        busy = exists().where(
            batch_lines.c.batch_id == batches.c.id, batch_lines.c.owner.is_not(None)
        )
        wanted = and_(batches.c.status.in_(statuses), ~batches.c.hidden)
        query = select(batches).where(wanted, free, ~busy)
        query = query.order_by(batches.c.created_at).limit(1)
        async with self._database.read() as connection:
            if (await connection.execute(query)).one_or_none() is None:
                return None

        async def work(connection: AsyncConnection) -> Batch | None:
            row = (await connection.execute(query.with_for_update(skip_locked=True))).one_or_none()
            if row is None:
                return None
            mine = update(batches).where(batches.c.id == row.id).values(owner=self._me)
            await connection.execute(mine)
            return batch_of(row)

        return await written(self._database, work)

    async def running(self, among: Collection[str]) -> set[str]:
        """Which of these batches are in progress."""
        if not among:
            return set()
        query = select(batches.c.id).where(batches.c.id.in_(among))
        async with self._database.read() as connection:
            found = await connection.execute(query.where(batches.c.status == "in_progress"))
            return set(found.scalars())

    async def ready(self, turn: int, most: int) -> list[Batch]:
        """Up to `most` batches in progress with a line that waits for a worker now, in the order of
        the `turn`-th turn. There may be thousands of them, and this is asked for each line that
        ends, so no more than ids leave the database, and of a tenant no more than `most`.
        """
        b, c = batches.c, batch_lines.c
        due = or_(c.not_before.is_(None), c.not_before <= self._clock())
        waits = exists().where(c.batch_id == b.id, c.state == "waiting", due)
        own = func.row_number().over(partition_by=b.tenant, order_by=(b.created_at, b.id))
        ready = select(b.id, b.tenant, b.created_at, own.label("nth"))
        found = ready.where(b.status == "in_progress", waits).subquery().c
        query = select(found.id, found.tenant).where(found.nth <= most)
        query = query.order_by(found.nth, found.created_at, found.id).limit(READY)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            ids = [row.id for row in in_turn(rows, turn)[:most]]
            if not ids:
                return []
            full = await connection.execute(select(batches).where(b.id.in_(ids)))
            by_id = {row.id: batch_of(row) for row in full}
        return [by_id[one] for one in ids]

    async def free_forgotten(self, held: Held) -> None:
        """What is this worker's, but not in its hands."""
        await free_forgotten(self._database, self._me, held)

    async def hidden_line(self, batch: Batch) -> bytes | None:
        """The line of a hidden batch; None where nobody waits for its answer any more."""
        return await hidden_line(self._database, batch)

    async def leave_batch(self, batch_id: str) -> None:
        async def work(connection: AsyncConnection) -> None:
            mine = and_(batches.c.id == batch_id, batches.c.owner == self._me)
            await connection.execute(update(batches).where(mine).values(owner=None))

        await self._database.write(work)

    async def holds(self, connection: AsyncConnection, batch: Batch) -> bool:
        """Whether the batch is still this worker's and as it was claimed; no other changes it
        before the transaction ends.
        """
        same = and_(batches.c.owner == self._me, batches.c.status == batch.status)
        query = select(batches.c.id).where(batches.c.id == batch.id, same).with_for_update()
        return (await connection.execute(query)).one_or_none() is not None

    async def advance(self, batch: Batch, **values: Any) -> bool:
        """Changes a batch that this worker holds, and leaves it; False where it is not as it was
        claimed any more.
        """

        async def work(connection: AsyncConnection) -> bool:
            if not await self.holds(connection, batch):
                return False
            mine = update(batches).where(batches.c.id == batch.id)
            await connection.execute(mine.values(owner=None, **values))
            await owe_batch_end(connection, batch, values, self._clock())
            return True

        return await written(self._database, work)

    async def put_lines(self, batch: Batch, rows: Sequence[dict[str, Any]]) -> bool:
        """Enters lines of a batch that this worker checks; those that are there stay as they are,
        so that a check that was cut short may be made again. False where it is no longer its.
        """

        async def work(connection: AsyncConnection) -> bool:
            if not await self.holds(connection, batch):
                return False
            c = batch_lines.c
            numbers = [row["number"] for row in rows]
            first, last = min(numbers), max(numbers)
            query = select(c.number).where(c.batch_id == batch.id, c.number.between(first, last))
            there = set((await connection.execute(query)).scalars())
            new = [row for row in rows if row["number"] not in there]
            if new:
                await connection.execute(insert(batch_lines), new)
            return True

        return await written(self._database, work)

    async def claim_lines(self, batch: Batch, most: int) -> list[ClaimedLine]:
        """Up to `most` waiting lines of a batch in progress, in the order of its file."""
        c = batch_lines.c
        due = or_(c.not_before.is_(None), c.not_before <= self._clock())
        running = exists().where(batches.c.id == batch.id, batches.c.status == "in_progress")
        query = select(c.number, c.custom_id, c.offset, c.length, c.claims, c.failures)
        query = query.where(c.batch_id == batch.id, c.state == "waiting", due, running)
        query = query.order_by(c.number).limit(most)

        async def work(connection: AsyncConnection) -> list[ClaimedLine]:
            rows = (await connection.execute(query.with_for_update(skip_locked=True))).all()
            taken = and_(c.batch_id == batch.id, c.number.in_([row.number for row in rows]))
            mine = {"state": "leased", "owner": self._me, "claims": c.claims + 1}
            if rows:
                await connection.execute(update(batch_lines).where(taken).values(mine))
            going = await going_on(connection, batch.id, [row.number for row in rows])
            return [
                ClaimedLine(
                    batch, *row[:4], row.claims + 1, row.failures, *going.get(row.number, ())
                )
                for row in rows
            ]

        return await written(self._database, work)

    async def finish(self, ended: Sequence["Ended | Stay"]) -> None:
        """Writes what became of lines, which may be that they are parked; what this worker does not
        hold any more is discarded.
        """

        async def work(connection: AsyncConnection) -> None:
            stays: list[Stay] = []
            for one in sorted(ended, key=lambda e: (e.line.batch.id, e.line.number)):
                values = _outcome(one) if isinstance(one, Ended) else PARKED
                changed = await connection.execute(
                    update(batch_lines).where(self._mine(one.line)).values(values)
                )
                if not changed.rowcount:
                    continue
                if isinstance(one, Stay):
                    stays.append(one)
                elif one.line.resumed is not None:
                    await forget(connection, one.line.batch.id, [one.line.number])
            if stays:
                await enter(connection, [stay.row() for stay in stays])

        await self._database.write(work)

    async def put_back(
        self, lines: Collection[ClaimedLine], *, not_before: datetime | None = None
    ) -> None:
        """The lines wait again; `not_before` where a try of them failed, which is counted."""
        values: dict[str, Any] = {"state": "waiting", "owner": None}
        if not_before is not None:
            failures = batch_lines.c.failures + 1
            values |= {"not_before": not_before, "failures": failures}

        async def work(connection: AsyncConnection) -> None:
            for line in lines:
                await connection.execute(update(batch_lines).where(self._mine(line)).values(values))

        if lines:
            await self._database.write(work)

    def _mine(self, line: ClaimedLine) -> ColumnElement[bool]:
        c = batch_lines.c
        return and_(
            c.batch_id == line.batch.id,
            c.number == line.number,
            c.owner == self._me,
            c.claims == line.claims,
        )


def alive(now: datetime) -> Any:
    """The workers whose lease is not over."""
    return select(batch_workers.c.id).where(batch_workers.c.until > now)


def _outcome(ended: Ended) -> dict[str, Any]:
    answer = ended.answer
    return {
        "state": "done" if answer.succeeded else "failed",
        "owner": None,
        "result": ended.result,
        "tier": answer.tier,
        "prompt_tokens": answer.usage.prompt_tokens,
        "cached_tokens": answer.usage.cached_tokens,
        "completion_tokens": answer.usage.completion_tokens,
        "reasoning_tokens": answer.usage.reasoning_tokens,
        "cost": answer.cost_usd,
        "baseline_cost": answer.baseline_cost_usd,
    }
