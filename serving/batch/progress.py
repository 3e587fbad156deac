"""Where the lines of a batch in progress stand."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.storage.work import batch_lines, parked_lines


@dataclass(slots=True)
class Progress:
    """Lines by what they do: `waiting` for their turn, `running` now, and by the tier that they
    wait for `parked` until a batch of its provider is made, and `hosted` in one.
    """

    waiting: int = 0
    running: int = 0
    parked: dict[str, int] = field(default_factory=dict)
    hosted: dict[str, int] = field(default_factory=dict)


async def progress_of(connection: AsyncConnection, ids: Collection[str]) -> dict[str, Progress]:
    """Of each of these batches."""
    found = {batch_id: Progress() for batch_id in ids}
    c, p = batch_lines.c, parked_lines.c
    states = select(c.batch_id, c.state, func.count().label("lines")).where(
        c.batch_id.in_(ids), c.state.in_(("waiting", "leased"))
    )
    for row in await connection.execute(states.group_by(c.batch_id, c.state)):
        if row.state == "waiting":
            found[row.batch_id].waiting = row.lines
        else:
            found[row.batch_id].running = row.lines
    parked = select(p.batch_id, p.tier, p.state, func.count().label("lines")).where(
        p.batch_id.in_(ids), p.state.in_(("waiting", "sent"))
    )
    for row in await connection.execute(parked.group_by(p.batch_id, p.tier, p.state)):
        one = found[row.batch_id]
        (one.hosted if row.state == "sent" else one.parked)[row.tier] = row.lines
    return found
