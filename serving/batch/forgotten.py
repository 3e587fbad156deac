"""What stands in the database as a living worker's and is not in its hands any more."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Table, Update, and_, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.hosted.values import AT_WORK
from serving.batch.values import Status
from serving.storage.database import Database
from serving.storage.work import batch_lines, batches, hosted_batches

LINE = (batch_lines.c.batch_id, batch_lines.c.number)
WORKED_ON: tuple[Status, ...] = ("validating", "finalizing", "cancelling")
"""The states of a batch in which a worker holds it."""

_log = structlog.get_logger("stepwell.batch")


@dataclass(frozen=True, slots=True)
class Held:
    """What a worker has in hand: lines by batch and number, batches that it checks or finalizes,
    and hosted batches.
    """

    lines: Collection[tuple[str, int]]
    batches: Collection[str]
    hosted: Collection[str]


async def free_forgotten(database: Database, me: str, held: Held) -> None:
    """Frees what is `me`'s and not `held`: a claim whose commit was reported as failed, or what
    could not be given back while the database was away. To be called where no claim is under way.
    """
    b, h = batches.c, hosted_batches.c
    kinds: list[tuple[Table, tuple[Any, ...], Any, set[Any], dict[str, Any]]] = [
        (batch_lines, LINE, true(), set(held.lines), {"state": "waiting"}),
        (batches, (b.id,), b.status.in_(WORKED_ON), {(one,) for one in held.batches}, {}),
        (hosted_batches, (h.id,), h.state.in_(AT_WORK), {(one,) for one in held.hosted}, {}),
    ]
    freed: list[Update] = []
    async with database.read() as connection:
        for table, key, open_, known, values in kinds:
            mine = and_(table.c.owner == me, open_)
            found = {tuple(row) for row in await connection.execute(select(*key).where(mine))}
            if forgotten := found - known:
                _log.warning("batch_work_forgotten", table=table.name, rows=len(forgotten))
                these = and_(mine, tuple_(*key).in_(sorted(forgotten)))
                freed.append(update(table).where(these).values(owner=None, **values))

    async def work(connection: AsyncConnection) -> None:
        for one in freed:
            await connection.execute(one)

    if freed:
        await database.write(work)
