"""Batches as their tenants see them."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.progress import Progress, progress_of
from serving.batch.rows import batch_of, page_after, written
from serving.batch.tally import Tally
from serving.batch.values import OPEN, Batch
from serving.errors import ClientError, InvalidRequest, NotFound, RateLimited
from serving.storage.database import Database
from serving.storage.work import batch_lines, batches, files
from serving.wire.completion import Usage

Seen = tuple[Batch, Tally, Progress]
"""A batch, what its lines came to so far and where the others stand, at one moment."""


class BatchStore:
    """The tables `batches` and `batch_lines`. Raises what the database raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, batch: Batch, *, most_open: int) -> None:
        """`NotFound` where its input file went meanwhile, `RateLimited` where its tenant has as
        many batches that have not ended as it may.
        """

        async def work(connection: AsyncConnection) -> None:
            mine = files.c.id == batch.input_file_id
            query = select(files.c.id).where(mine).with_for_update()
            if (await connection.execute(query)).one_or_none() is None:
                raise NotFound(f"No such File object: {batch.input_file_id}", code="file_not_found")
            busy = select(func.count()).where(
                batches.c.tenant == batch.tenant, batches.c.status.in_(OPEN), ~batches.c.hidden
            )
            if (await connection.execute(busy)).scalar_one() >= most_open:
                raise RateLimited(
                    f"You have {most_open} batches that have not ended, as many as you may.",
                    code="too_many_batches",
                    retry_after=60.0,
                )
            await connection.execute(insert(batches).values(asdict(batch)))

        await self._database.write(work)

    async def get(self, tenant: str, batch_id: str) -> Seen:
        """`NotFound` for what is not there or another tenant's."""
        query = select(batches).where(batches.c.id == batch_id, _visible(tenant))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                raise no_such_batch(batch_id)
            return (await _with_tallies(connection, [batch_of(row)]))[0]

    async def page(self, tenant: str, *, after: str | None, limit: int) -> tuple[list[Seen], bool]:
        """Newest first, and whether more follow."""
        async with self._database.read() as connection:
            rows, more = await page_after(
                connection, batches, _visible(tenant), after=after, limit=limit
            )
            return await _with_tallies(connection, [batch_of(row) for row in rows]), more

    async def cancel(self, tenant: str, batch_id: str, now: datetime) -> None:
        """Asking again changes nothing. `InvalidRequest` where it has ended otherwise or its
        results are being written.
        """

        async def work(connection: AsyncConnection) -> Batch:
            mine = (batches.c.id == batch_id) & _visible(tenant)
            asked = (
                update(batches)
                .where(mine, batches.c.status.in_(("validating", "in_progress")))
                .values(status="cancelling", cancelling_at=now)
            )
            await connection.execute(asked)
            row = (await connection.execute(select(batches).where(mine))).one_or_none()
            if row is None:
                raise no_such_batch(batch_id)
            return batch_of(row)

        batch = await written(self._database, work)
        if batch.status not in ("cancelling", "cancelled"):
            raise _too_late(batch)


def _visible(tenant: str) -> ColumnElement[bool]:
    return and_(batches.c.tenant == tenant, ~batches.c.hidden)


def no_such_batch(batch_id: str) -> NotFound:
    return NotFound(f"No batch found with id '{batch_id[:64]}'.", code="batch_not_found")


async def _with_tallies(connection: AsyncConnection, wanted: Sequence[Batch]) -> list[Seen]:
    found = {b.id: Tally() if b.figures is None else Tally.from_dict(b.figures) for b in wanted}
    open_ = [b.id for b in wanted if b.figures is None and b.in_progress_at is not None]
    if open_:
        for row in await connection.execute(_sums(open_)):
            _add(found[row.batch_id], row)
    running = [b.id for b in wanted if b.status == "in_progress"]
    stand = await progress_of(connection, running) if running else {}
    return [(batch, found[batch.id], stand.get(batch.id, Progress())) for batch in wanted]


def _too_late(batch: Batch) -> ClientError:
    message = f"Cannot cancel a batch with status '{batch.status}'."
    return InvalidRequest(message, code="invalid_status")


def _sums(ids: Collection[str]) -> Any:
    c = batch_lines.c
    ended = c.state.in_(("done", "failed"))
    unknown = {
        name: func.sum(case((c[name].is_(None), 1), else_=0)).label(f"no_{name}")
        for name in ("cost", "baseline_cost")
    }
    names = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
    sums = [func.sum(c[name]).label(name) for name in (*names, "cost", "baseline_cost")]
    found = select(c.batch_id, c.state, c.tier, func.count().label("lines"), *sums)
    found = found.add_columns(*unknown.values()).where(c.batch_id.in_(ids), ended)
    return found.group_by(c.batch_id, c.state, c.tier)


def _add(tally: Tally, row: Any) -> None:
    usage = Usage(
        prompt_tokens=int(row.prompt_tokens),
        cached_tokens=int(row.cached_tokens),
        completion_tokens=int(row.completion_tokens),
        reasoning_tokens=int(row.reasoning_tokens),
    )
    tally.add(
        row.lines,
        succeeded=row.state == "done",
        usage=usage,
        cost_usd=None if row.no_cost else row.cost,
        baseline_cost_usd=None if row.no_baseline_cost else row.baseline_cost,
        tier=row.tier,
    )
