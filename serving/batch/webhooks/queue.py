"""Notices that are owed, in the database, from the moment that the work ended."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.rows import written
from serving.batch.values import Batch, Clock
from serving.batch.webhooks.allowed import PORTS, URL_LABEL
from serving.batch.webhooks.notice import Notice, notice_id
from serving.storage.database import Database
from serving.storage.webhooks import webhooks

ENDS = ("completed", "failed", "expired", "cancelled")
LOOKED_AT = 64
SWEPT_AT_ONCE = 500


async def owe_batch_end(
    connection: AsyncConnection, batch: Batch, values: Mapping[str, Any], now: datetime
) -> None:
    """Called in the transaction that changes a batch by `values`: where they end it and its client
    named a URL, the client is owed a notice from then on.
    """
    url = (batch.labels or {}).get(URL_LABEL)
    if url is not None and values.get("status") in ENDS:
        event = f"batch.{values['status']}"
        await owe(connection, batch.tenant, event=event, subject=batch.id, url=url, now=now)


async def owe(
    connection: AsyncConnection, tenant: str, *, event: str, subject: str, url: str, now: datetime
) -> None:
    """A notice of this event is owed once the transaction ends. The URL was allowed when the client
    named it, and is checked again before each try. Owing it twice changes nothing.
    """
    id_ = notice_id(subject, event)
    there = select(webhooks.c.id).where(webhooks.c.id == id_)
    if (await connection.execute(there)).one_or_none() is not None:
        return
    row = {
        "id": id_,
        "tenant": tenant,
        "event": event,
        "subject": subject,
        "url": url,
        "host": _host(url),
        "created_at": now,
        "state": "waiting",
        "due_at": now,
        "tries": 0,
    }
    await connection.execute(insert(webhooks).values(row))


class Notices:
    """The table `webhooks`, as those that deliver see it. `lease_s` is longer than any try: what a
    process took and did not finish by then is another's. Raises what the database raises.
    """

    def __init__(self, database: Database, *, lease_s: float, clock: Clock) -> None:
        self._database = database
        self._lease = timedelta(seconds=lease_s)
        self._clock = clock

    async def claim(self, most: int, running: Counter[str], per_host: int) -> list[Notice]:
        """Up to `most` notices that are due, oldest first; together with those `running` there are
        at most `per_host` of a host, so that one that is slow does not hold up the others.
        """
        full = [host for host, count in running.items() if count >= per_host]
        query = select(webhooks).where(self._due(full))
        query = query.order_by(webhooks.c.due_at).limit(LOOKED_AT)
        async with self._database.read() as connection:
            if (await connection.execute(query.limit(1))).one_or_none() is None:
                return []

        async def work(connection: AsyncConnection) -> list[Notice]:
            found = (await connection.execute(query.with_for_update(skip_locked=True))).all()
            rows = _fair(found, most, running, per_host)
            taken = webhooks.c.id.in_([row.id for row in rows])
            until = {"due_at": self._clock() + self._lease, "tries": webhooks.c.tries + 1}
            if rows:
                await connection.execute(update(webhooks).where(taken).values(until))
            return [_notice(row) for row in rows]

        return await written(self._database, work)

    async def delivered(self, notice: Notice, outcome: str) -> bool:
        """False where another process has it by now."""
        return await self._end(notice, "delivered", outcome)

    async def failed(self, notice: Notice, outcome: str) -> bool:
        """For good. False where another process has it by now."""
        return await self._end(notice, "failed", outcome)

    async def again(self, notice: Notice, outcome: str, due_at: datetime) -> None:
        await self._change(notice, {"due_at": due_at, "outcome": outcome})

    async def sweep(self, before: datetime) -> None:
        """Forgets what had ended by then, some at a time."""
        old = select(webhooks.c.id).where(
            webhooks.c.state != "waiting", webhooks.c.ended_at < before
        )

        async def work(connection: AsyncConnection) -> int:
            ids = list((await connection.execute(old.limit(SWEPT_AT_ONCE))).scalars())
            if ids:
                await connection.execute(delete(webhooks).where(webhooks.c.id.in_(ids)))
            return len(ids)

        async with self._database.read() as connection:
            if (await connection.execute(old.limit(1))).one_or_none() is None:
                return
        while await written(self._database, work) == SWEPT_AT_ONCE:
            pass

    def _due(self, full: Collection[str]) -> ColumnElement[bool]:
        c = webhooks.c
        return and_(c.state == "waiting", c.due_at <= self._clock(), c.host.not_in(full))

    async def _end(self, notice: Notice, state: str, outcome: str) -> bool:
        ended = {"state": state, "outcome": outcome, "ended_at": self._clock()}
        return await self._change(notice, ended)

    async def _change(self, notice: Notice, values: Mapping[str, Any]) -> bool:
        c = webhooks.c
        mine = and_(c.id == notice.id, c.tries == notice.tries, c.state == "waiting")

        async def work(connection: AsyncConnection) -> bool:
            done = await connection.execute(update(webhooks).where(mine).values(**values))
            return bool(done.rowcount)

        return await written(self._database, work)


def _fair(found: Sequence[Any], most: int, running: Counter[str], per_host: int) -> list[Any]:
    counts = Counter(running)
    rows: list[Any] = []
    for row in found:
        if len(rows) < most and counts[row.host] < per_host:
            counts[row.host] += 1
            rows.append(row)
    return rows


def _notice(row: Any) -> Notice:
    return Notice(row.id, row.event, row.subject, row.url, row.host, row.created_at, row.tries + 1)


def _host(url: str) -> str:
    """What notices to one receiver have in common."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].partition("?")[0].lower()[:256]
    name, colon, port = host.rpartition(":")
    return host if colon and name and port.isdecimal() else f"{host}:{PORTS.get(scheme, 0)}"
