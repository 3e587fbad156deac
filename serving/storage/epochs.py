"""Evictions that every process with a cache must hear of, numbered in the order of their commits.

No clock is involved: an eviction takes the next epoch, and a reader asks for what came after the
last epoch that it knows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.storage.database import Database
from serving.storage.schema import cache_epochs
from serving.storage.upsert import upsert

KEPT = 10_000
"""Evictions that stay readable; all processes on one database must agree on it."""

COUNTER = ""
"""The scope of the row that holds the newest epoch; no digest is empty."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What was evicted since a reader's last look. Where `complete` is false, more was evicted than
    is still listed, or the database is not the one that was read before: then nothing older than
    this look may be trusted.
    """

    newest: int
    scopes: tuple[str, ...]
    complete: bool


class EpochStore:
    """The table `cache_epochs`. A scope is a digest of at most 64 characters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def bump(self, scopes: Collection[str]) -> None:
        """Commits that everything cached under `scopes` until now is wrong; raises what the
        database raises.
        """
        if scopes:
            await self._database.write(lambda connection: _bump(connection, scopes))

    async def changes(self, since: int | None) -> Changes:
        """What was evicted after the epoch `since`, at most `KEPT` scopes, in no order; of None,
        only the newest epoch. Raises what the database raises.
        """
        table = cache_epochs.c
        wanted = table.scope == COUNTER
        if since is not None:
            wanted = or_(wanted, table.epoch > since)
        query = select(table.scope, table.epoch).where(wanted)
        async with self._database.read() as connection:
            found: Mapping[str, int] = {
                row.scope: row.epoch for row in await connection.execute(query)
            }
        newest = found.get(COUNTER, 0)
        complete = since is None or newest - KEPT <= since <= newest
        return Changes(newest, tuple(scope for scope in found if scope != COUNTER), complete)


async def _bump(connection: AsyncConnection, scopes: Collection[str]) -> None:
    newest = await _advance(connection, len(scopes))
    first = newest - len(scopes) + 1
    rows = [{"scope": scope, "epoch": first + i} for i, scope in enumerate(scopes)]
    await upsert(connection, cache_epochs, rows)
    table = cache_epochs.c
    old = delete(cache_epochs).where(table.epoch <= newest - KEPT, table.scope != COUNTER)
    await connection.execute(old)


async def _advance(connection: AsyncConnection, by: int) -> int:
    """The newest epoch, `by` after the last. The row stays locked until the commit, so that epochs
    become visible in their order; a sequence would let a reader pass one that commits late.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    first = insert(cache_epochs).values(scope=COUNTER, epoch=by)
    advance = first.on_conflict_do_update(
        index_elements=["scope"], set_={"epoch": cache_epochs.c.epoch + first.excluded.epoch}
    ).returning(cache_epochs.c.epoch)
    return int((await connection.execute(advance)).scalar_one())
