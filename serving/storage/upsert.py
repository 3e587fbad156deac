"""Writes rows by their primary key, replacing older versions of them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import String, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.storage.types import storable

Row = Mapping[str, Any]


async def upsert(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts `rows`, each with a value for every column of `table`; a row whose key is there
    already replaces that one. Text longer than its column is cut, since a row may not be lost.
    """
    await connection.run_sync(upsert_now, table, rows)


def upsert_now(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """As `upsert`, in the caller's thread."""
    if rows:
        statement = _statement(table, connection.dialect.name)
        connection.execute(statement, [_storable(table, row) for row in rows])


@cache
def _statement(table: Table, dialect: str) -> postgresql.Insert | sqlite.Insert:
    statement = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    keys = [c.name for c in table.primary_key]
    new = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=new)


@cache
def _limits(table: Table) -> Mapping[str, int | None]:
    return {c.name: c.type.length for c in table.columns if isinstance(c.type, String)}


def _storable(table: Table, row: Row) -> dict[str, Any]:
    return {**row, **{name: storable(row[name], n) for name, n in _limits(table).items()}}
