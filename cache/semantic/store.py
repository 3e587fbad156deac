"""The entries in the database: what is written, and how it is read back."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import structlog
from sqlalchemy import Row, and_, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from cache.semantic.entry import Entry, Vector
from cache.semantic.purge import Purge
from serving.storage.database import Database
from serving.storage.schema import semantic_entries

CHUNK = 500
"""Rows that are read or deleted in one statement."""

_log = structlog.get_logger("stepwell.cache")
_columns = semantic_entries.c


@dataclass(slots=True)
class Counts:
    """What has been counted of an entry since it was last written."""

    hits: int = 0
    right: int = 0
    wrong: int = 0
    last_hit_at: float | None = None

    def add(self, other: "Counts") -> None:
        self.hits += other.hits
        self.right += other.right
        self.wrong += other.wrong
        self.last_hit_at = max(self.last_hit_at or 0.0, other.last_hit_at or 0.0) or None


def digest(text: str) -> str:
    """What stands for a question: the same for the same text."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def as_row(entry: Entry, vector: Vector, embedder: str) -> dict[str, Any]:
    return {
        "id": entry.id,
        "embedder": embedder,
        "scope": entry.scope,
        "question": digest(entry.text),
        "tenant": entry.tenant,
        "task": entry.task,
        "tags": list(entry.tags),
        "document": entry.document,
        "text": entry.text,
        "vector": vector.astype("<f4").tobytes(),
        "answer": entry.packed,
        "tier": entry.tier,
        "model": entry.model,
        "simulated": entry.simulated,
        "cost": entry.cost_usd,
        "request_id": entry.request_id,
        "created_at": moment(entry.created_at),
        "expires_at": moment(entry.expires_at),
        "hits": entry.hits,
        "last_hit_at": None,
        "right": entry.right,
        "wrong": entry.wrong,
    }


async def insert(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """A row whose question is there already in its scope replaces that one, its id included."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(semantic_entries)
    new = {column.name: statement.excluded[column.name] for column in _columns}
    replacing = statement.on_conflict_do_update(
        index_elements=["embedder", "scope", "question"], set_=new
    )
    await connection.execute(replacing, [dict(row) for row in rows])


async def delete_ids(connection: AsyncConnection, ids: Collection[int]) -> None:
    gone = list(ids)
    for start in range(0, len(gone), CHUNK):
        chosen = _columns.id.in_(gone[start : start + CHUNK])
        await connection.execute(delete(semantic_entries).where(chosen))


async def delete_request(connection: AsyncConnection, request_id: str) -> None:
    await connection.execute(delete(semantic_entries).where(_columns.request_id == request_id))


async def delete_expired(connection: AsyncConnection, now: float) -> int:
    """Deletes some of what has expired, of any embedder; `CHUNK` of them where there may be more.

    Few at a time, since SQLite has one writer.
    """
    old = select(_columns.id).where(_columns.expires_at <= moment(now)).limit(CHUNK)
    done = await connection.execute(delete(semantic_entries).where(_columns.id.in_(old)))
    return int(done.rowcount)


async def delete_meant(connection: AsyncConnection, what: Purge) -> list[int]:
    """Deletes what the purge means, of every embedder; the ids of what it deleted."""
    gone = [key async for chunk in _meant(connection, what) for key in chunk]
    await delete_ids(connection, gone)
    return gone


async def count(connection: AsyncConnection, counted: Mapping[int, Counts]) -> None:
    """Adds to what the entries' rows say; those that are gone are passed over."""
    times = {key: c.last_hit_at for key, c in counted.items()}
    rows = [
        {"key": k, "h": c.hits, "r": c.right, "w": c.wrong, "at": moment(times[k] or 0.0)}
        for k, c in sorted(counted.items())
    ]
    larger = func.greatest if connection.dialect.name == "postgresql" else func.max
    latest = larger(func.coalesce(_columns.last_hit_at, 0), bindparam("at", type_=_MOMENT))
    statement = (
        update(semantic_entries)
        .where(_columns.id == bindparam("key"))
        .values(
            hits=_columns.hits + bindparam("h"),
            right=_columns.right + bindparam("r"),
            wrong=_columns.wrong + bindparam("w"),
            last_hit_at=func.nullif(latest, 0),
        )
    )
    await connection.execute(statement, rows)


async def load(
    database: Database, embedder: str, dimensions: int, now: float
) -> AsyncIterator[list[tuple[Entry, Vector]]]:
    """The live entries of this embedder, oldest first, in chunks. A row that does not hold what it
    should is logged and passed over.
    """
    last = -1
    # Not to be found by their own indexes, whose rows would be sorted anew for every page.
    own = func.coalesce(_columns.embedder, "") == embedder
    live = and_(own, func.coalesce(_columns.expires_at, 0) > moment(now))
    while True:
        page = select(semantic_entries).where(live, _columns.id > last)
        async with database.read() as connection:
            rows = (await connection.execute(page.order_by(_columns.id).limit(CHUNK))).all()
        if not rows:
            return
        last = rows[-1].id
        yield [kept for row in rows if (kept := _read(row, dimensions)) is not None]


def moment(unix: float) -> datetime:
    return datetime.fromtimestamp(unix, UTC)


_MOMENT = _columns.created_at.type


async def _meant(connection: AsyncConnection, what: Purge) -> AsyncIterator[list[int]]:
    wanted = [
        column == value
        for column, value in (
            (_columns.tenant, what.tenant),
            (_columns.task, what.task),
            (_columns.document, what.document),
        )
        if value is not None
    ]
    if what.older_than is not None:
        wanted.append(_columns.created_at < moment(what.older_than))
    judged = [_columns[name] for name in ("id", "tenant", "task", "tags", "document", "text")]
    rows = await connection.stream(select(*judged, _columns.created_at).where(*wanted))
    async for chunk in rows.partitions(CHUNK):
        yield [row.id for row in chunk if _means(what, row)]


def _means(what: Purge, row: Any) -> bool:
    return what.means(row, row.created_at.timestamp())


def _read(row: Row[Any], dimensions: int) -> tuple[Entry, Vector] | None:
    import numpy as np  # noqa: PLC0415 - in an extra

    vector = np.frombuffer(row.vector, "<f4") if len(row.vector) == dimensions * 4 else None
    if vector is None or not abs(float(vector @ vector) - 1.0) < 0.01:
        _log.error("semantic_entry_unreadable", entry=row.id, dimensions=dimensions)
        return None
    return _entry(row), vector.astype(np.float32)


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        id=row.id,
        scope=row.scope,
        tenant=row.tenant,
        task=row.task,
        tags=tuple(row.tags),
        document=row.document,
        text=row.text,
        packed=bytes(row.answer),
        tier=row.tier,
        model=row.model,
        simulated=row.simulated,
        cost_usd=row.cost,
        request_id=row.request_id,
        expires_at=row.expires_at.timestamp(),
        created_at=row.created_at.timestamp(),
        hits=row.hits,
        last_hit_at=None if row.last_hit_at is None else row.last_hit_at.timestamp(),
        right=row.right,
        wrong=row.wrong,
    )
