"""The semantic cache's evidence in the database: thresholds, checked hits, and orders to forget."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, case, delete, func, select, type_coerce

from serving.backend import new_id
from serving.storage.database import Database
from serving.storage.epochs import EpochStore
from serving.storage.schema import (
    cache_checks,
    cache_purges,
    cache_thresholds,
    semantic_entries,
)
from serving.storage.types import Money
from serving.storage.upsert import upsert

PURGE, FILL = "purge ", "fill "
"""How the scopes of these epochs begin; what stands behind it is an id."""

PURGES_KEPT = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Checked:
    """A semantic hit that was compared with a fresh answer; `right` is None where that was not
    possible. `request_id`: of the request that was served.
    """

    tenant: str
    task: str
    request_id: str
    score: float
    right: bool | None


@dataclass(frozen=True, slots=True)
class Tally:
    """Hits that could be compared, and how many of those were wrong."""

    checked: int
    wrong: int


class SemanticEvidence:
    """Raises what the database raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def thresholds(self) -> dict[str, dict[str, Any]]:
        """The state of each task's threshold, as it was saved."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(cache_thresholds))).all()
        return {row.task: dict(row.state) for row in rows}

    async def save(self, thresholds: Mapping[str, Mapping[str, Any]]) -> None:
        rows = [{"task": task, "state": dict(state)} for task, state in thresholds.items()]
        if rows:
            await self._database.write(lambda c: upsert(c, cache_thresholds, rows))

    async def add(self, checked: Checked) -> None:
        row = {
            "id": f"chk_{new_id()}",
            "created_at": datetime.now(UTC),
            "tenant": checked.tenant,
            "task": checked.task,
            "request_id": checked.request_id,
            "score": checked.score,
            "right": checked.right,
        }
        await self._database.write(lambda c: upsert(c, cache_checks, [row]))

    async def tallies(
        self, *, since: datetime, until: datetime | None = None, tenant: str | None = None
    ) -> dict[str, Tally]:
        """By task, of the checks made in [since, until)."""
        table = cache_checks.c
        wrong = func.count(case((table.right.is_(False), 1)))
        query = select(table.task, func.count().label("checked"), wrong.label("wrong"))
        query = query.where(table.created_at >= since, table.right.is_not(None))
        if until is not None:
            query = query.where(table.created_at < until)
        if tenant is not None:
            query = query.where(table.tenant == tenant)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.group_by(table.task))).all()
        return {row.task: Tally(row.checked, row.wrong) for row in rows}


class SemanticOrders:
    """What other processes tell whoever holds the entries in memory, through the epochs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._epochs = EpochStore(database)

    async def purge(self, what: Mapping[str, Any]) -> None:
        """Commits that such entries are to be forgotten."""
        now = datetime.now(UTC)
        row = {"id": new_id(), "created_at": now, "what": dict(what)}
        table = cache_purges.c
        await self._database.write(lambda c: upsert(c, cache_purges, [row]))
        await self._epochs.bump([f"{PURGE}{row['id']}"])
        old = delete(cache_purges).where(table.created_at < now - PURGES_KEPT)
        async with self._database.begin() as connection:
            await connection.execute(old)

    async def fill(self) -> None:
        """Commits that there are entries in the database that are not in memory."""
        await self._epochs.bump([f"{FILL}{new_id()}"])

    async def purged(self, purge_id: str) -> dict[str, Any] | None:
        """What that purge means, None where it is older than anyone may be behind."""
        query = select(cache_purges.c.what).where(cache_purges.c.id == purge_id)
        async with self._database.read() as connection:
            found = (await connection.execute(query)).scalar_one_or_none()
        return None if found is None else dict(found)


@dataclass(frozen=True, slots=True)
class Shelved:
    """What one task of one tenant has in the database. `bytes` of texts, vectors and answers;
    `saved_usd`: hits times what each answer cost, as far as that is known.
    """

    tenant: str
    task: str
    entries: int
    bytes: int
    hits: int
    saved_usd: Decimal


async def shelved(database: Database) -> list[Shelved]:
    """By tenant and task; what has expired and was not deleted yet is left out."""
    table = semantic_entries.c
    size = func.length(table.vector) + func.length(table.answer) + func.length(table.text)
    query = (
        select(
            table.tenant,
            table.task,
            func.count().label("entries"),
            func.sum(size).label("bytes"),
            func.sum(table.hits).label("hits"),
            type_coerce(func.sum(type_coerce(table.cost, BigInteger) * table.hits), Money()).label(
                "saved"
            ),
        )
        .where(table.expires_at > datetime.now(UTC))
        .group_by(table.tenant, table.task)
        .order_by(table.tenant, table.task)
    )
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return [
        Shelved(r.tenant, r.task, r.entries, int(r.bytes), int(r.hits), r.saved or Decimal(0))
        for r in rows
    ]
