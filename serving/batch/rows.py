"""How files, batches and lines stand in the database: what its modules share."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.values import Batch, StoredFile
from serving.errors import InvalidRequest
from serving.storage.database import Database
from serving.storage.work import batches, files

T = TypeVar("T")
Some = tuple[object, ...]


async def written(database: Database, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What `work` returns, done in a transaction that goes on to its end when the caller is
    cancelled.
    """
    found: list[T] = []

    async def doing(connection: AsyncConnection) -> None:
        found.append(await work(connection))

    await database.write(doing)
    return found[0]


def batch_of(row: Row[Some]) -> Batch:
    return Batch(**{column.name: row._mapping[column.name] for column in batches.columns})


def file_of(row: Row[Some]) -> StoredFile:
    return StoredFile(**{column.name: row._mapping[column.name] for column in files.columns})


async def page_after(
    connection: AsyncConnection,
    table: Table,
    wanted: ColumnElement[bool],
    *,
    after: str | None,
    limit: int,
    ascending: bool = False,
) -> tuple[list[Row[Some]], bool]:
    """Rows by their time, newest first unless `ascending`, behind the row with the id `after`; and
    whether more follow. `InvalidRequest` where that row is not among the wanted.
    """
    c = table.c
    query: Select[Some] = select(table).where(wanted)
    if after is not None:
        cursor = select(c.created_at, c.id).where(wanted, c.id == after)
        at = (await connection.execute(cursor)).one_or_none()
        if at is None:
            raise InvalidRequest(
                "Invalid value for 'after': there is no such object.",
                param="after",
                code="invalid_cursor",
            )
        query = query.where(_behind(table, at.created_at, at.id, ascending))
    order = [c.created_at, c.id]
    ordered = query.order_by(*(order if ascending else [o.desc() for o in order]))
    found = list((await connection.execute(ordered.limit(limit + 1))).all())
    return found[:limit], len(found) > limit


def _behind(table: Table, created_at: object, id_: str, ascending: bool) -> ColumnElement[bool]:
    c = table.c
    same = c.created_at == created_at
    if ascending:
        return or_(c.created_at > created_at, and_(same, c.id > id_))
    return or_(c.created_at < created_at, and_(same, c.id < id_))
