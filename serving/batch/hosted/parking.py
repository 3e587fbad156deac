"""Lines on their way to a hosted batch and back, in the tables `batch_lines` and `parked_lines`.

A row of `parked_lines` is `waiting` to be gathered, `sent` with a hosted batch, or `back`; its line
is `parked` until it is back, and then an ordinary line that goes on with what the row holds. One
that is back without a result keeps its `hosted_id` until a worker takes the line: a result that
comes first is its own.

What a row says of its place is changed only by who has locked it, so that a result and a promotion
can't both win. Rows are locked in the order of their keys, or not waited for.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.backend import new_id
from serving.batch.hosted.mark import Marked, prepared
from serving.batch.hosted.packed import unpack
from serving.batch.hosted.rules import promoted_below
from serving.batch.hosted.values import BatchTier, Book, LateResult
from serving.batch.rows import written
from serving.batch.values import ClaimedLine, Parked, Resumed
from serving.costs.estimate import estimate_request_tokens
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from serving.storage.work import batch_lines, batches, parked_lines

AT_ONCE = 500
P = parked_lines.c


@dataclass(frozen=True, slots=True)
class Stay:
    """A line that is to be parked, ready for its row."""

    line: ClaimedLine
    parked: Parked
    marked: Marked
    now: datetime

    def row(self) -> dict[str, Any]:
        batch, marked = self.line.batch, self.marked
        return {
            "batch_id": batch.id,
            "number": self.line.number,
            "tenant": batch.tenant,
            "tier": self.parked.tier,
            "state": "waiting",
            "warm": False,
            "marked": False,
            "prefix": self.parked.prefix,
            "prefix_tokens": marked.tokens,
            "rest_tokens": max(0, estimate_request_tokens(self.parked.request) - marked.tokens),
            "output_tokens": self.parked.output_tokens,
            "custom_id": marked.line.custom_id,
            "size": len(marked.line.data),
            "mark_at": marked.at,
            "mark_size": marked.size,
            "tries": 0,
            "parked_at": self.now,
            "expires_at": batch.expires_at,
            "request_id": self.parked.request_id,
            "turn": self.parked.turn,
            "dropped": list(marked.line.dropped),
            "journal": self.parked.journal,
            "data": marked.line.data,
        }


def stay(line: ClaimedLine, parked: Parked, tier: BatchTier, now: datetime) -> Stay:
    """Raises what `BatchBackend.prepare` raises. The id at the provider is new: ours may be longer
    than providers allow, and nobody else's batch has one of these.
    """
    mark = tier.pays is not None
    custom_id = f"sw-{new_id()}"
    return Stay(line, parked, prepared(tier.backend, custom_id, parked.request, mark=mark), now)


async def enter(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replaces what stood of these lines."""
    keys = [(row["batch_id"], row["number"]) for row in rows]
    await connection.execute(delete(parked_lines).where(_among(keys)))
    if rows:
        await connection.execute(insert(parked_lines), [dict(row) for row in rows])


async def forget(connection: AsyncConnection, batch_id: str, numbers: Collection[int]) -> None:
    """Of lines that have ended."""
    gone = delete(parked_lines).where(P.batch_id == batch_id, P.number.in_(numbers))
    await connection.execute(gone)


async def going_on(
    connection: AsyncConnection, batch_id: str, numbers: Collection[int]
) -> dict[int, tuple[Resumed, frozenset[str]]]:
    """What those of these lines go on with that were parked, by their number; and the tier that
    they do not wait for again, where they waited in vain.
    """
    columns = (P.number, P.tier, P.dropped, P.journal, P.result, P.hosted_id, P.request_id, P.turn)
    query = select(*columns).where(P.batch_id == batch_id, P.number.in_(numbers), P.state == "back")
    query = query.order_by(P.number).with_for_update()
    found: dict[int, tuple[Resumed, frozenset[str]]] = {}
    rows = (await connection.execute(query)).all()
    await _no_longer_waiting(connection, batch_id, [r.number for r in rows if r.hosted_id])
    for row in rows:
        result = None if row.result is None else unpack(row.result)
        vain = frozenset([row.tier] if result is None else [])
        named = (row.tier, row.request_id, row.turn)
        found[row.number] = Resumed(row.journal, result, tuple(row.dropped), *named), vain
    return found


async def _no_longer_waiting(
    connection: AsyncConnection, batch_id: str, numbers: Collection[int]
) -> None:
    """What comes for these lines from now on is late."""
    if numbers:
        mine = and_(P.batch_id == batch_id, P.number.in_(numbers))
        await connection.execute(update(parked_lines).where(mine).values(hosted_id=None))


async def back(
    connection: AsyncConnection, results: Sequence[tuple[tuple[str, int], bytes | None]]
) -> None:
    """These lines, whose rows the caller has locked, go on with these results."""
    values: dict[str, Any] = {"state": "back", "hosted_id": None, "after": None}
    values["result"] = bindparam("came")
    one = and_(P.batch_id == bindparam("of"), P.number == bindparam("nth"))
    rows = [{"of": of, "nth": nth, "came": came} for (of, nth), came in results]
    await connection.execute(update(parked_lines).where(one).values(values), rows)
    await _goes_on(connection, [key for key, _ in results])


async def _goes_on(connection: AsyncConnection, keys: Collection[tuple[str, int]]) -> None:
    mine = tuple_(batch_lines.c.batch_id, batch_lines.c.number).in_(keys)
    waits = {"state": "waiting", "not_before": None}
    await connection.execute(
        update(batch_lines).where(mine, batch_lines.c.state == "parked").values(waits)
    )


async def again(connection: AsyncConnection, keys: Sequence[tuple[str, int]]) -> None:
    """These lines, whose rows the caller has locked, wait to be gathered again."""
    values = {"state": "waiting", "hosted_id": None, "after": None, "warm": False}
    await connection.execute(update(parked_lines).where(_among(keys)).values(values))


async def promote(
    database: Database, tiers: Collection[str], settings: BatchSettings, now: datetime
) -> int:
    """Lets lines go on without a result whose batch has no time to wait for one, or whose tier is
    none of `tiers` any more; how many. There may be more of them than are answered soon, so a
    result that comes while its line waits for its turn is still taken.
    """
    waiting = P.expires_at < now + promoted_below(settings, sent=False)
    sent = P.expires_at < now + promoted_below(settings, sent=True)
    gone = and_(P.state.in_(("waiting", "sent")), P.tier.not_in(tiers))
    due = or_(and_(P.state == "waiting", waiting), and_(P.state == "sent", sent), gone)
    running = select(batches.c.id).where(batches.c.status == "in_progress")
    query = select(P.batch_id, P.number).where(due, P.batch_id.in_(running)).limit(AT_ONCE)

    async def work(connection: AsyncConnection) -> int:
        rows = await connection.execute(query.with_for_update(skip_locked=True))
        keys = [(row.batch_id, row.number) for row in rows]
        if keys:
            values = {"state": "back", "after": None}
            await connection.execute(update(parked_lines).where(_among(keys)).values(values))
            await _goes_on(connection, keys)
        return len(keys)

    async with database.read() as connection:
        if (await connection.execute(query.limit(1))).first() is None:
            return 0
    promoted = 0
    while found := await written(database, work):
        promoted += found
    return promoted


async def book_unused(database: Database, batch_id: str, book: Book) -> None:
    """Of a batch that has ended: results that came for lines which no longer could use them."""
    columns = (P.number, P.tenant, P.tier, P.request_id, P.turn, P.result, batches.c.key_id)
    query = select(*columns).join(batches, batches.c.id == P.batch_id)
    query = query.where(P.batch_id == batch_id, P.result.is_not(None)).limit(AT_ONCE)
    while True:
        async with database.read() as connection:
            rows = (await connection.execute(query)).all()
        if not rows:
            return
        for row in rows:
            result = unpack(row.result)
            await book(
                LateResult(row.tenant, row.key_id, row.tier, row.request_id, row.turn, result)
            )
        numbers = [row.number for row in rows]
        await database.write(lambda connection, n=numbers: forget(connection, batch_id, n))  # type: ignore[misc]  # mypy infers no default


def _among(keys: Collection[tuple[str, int]]) -> Any:
    return tuple_(P.batch_id, P.number).in_(keys)
