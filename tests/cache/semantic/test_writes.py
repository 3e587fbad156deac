"""The one writer: changes share transactions, keep their order, and fail alone."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cache.semantic import store
from cache.semantic.checked import made
from cache.semantic.writes import Writer
from serving.errors import Overloaded
from serving.storage.database import Database
from serving.storage.schema import semantic_entries
from serving.storage.upsert import Row
from tests.cache.semantic.entries import EMBEDDER, axis, new


def row(number: int, **given: object) -> Row:
    return store.as_row(made(new(number, **given), number + 1, 1e9), axis(0), EMBEDDER)


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[Writer]:
    made = Writer(database, max_waiting=1_000)
    made.start()
    yield made
    await made.close()


async def count(database: Database) -> int:
    async with database.read() as connection:
        query = select(func.count()).select_from(semantic_entries)
        return int((await connection.execute(query)).scalar_one())


async def test_many_inserts_share_a_transaction(database: Database, writer: Writer) -> None:
    commits = 0

    def counted(_: object) -> None:
        nonlocal commits
        commits += 1

    event.listen(database.engine.sync_engine, "commit", counted)
    done = await asyncio.gather(*(writer.insert(row(i), lambda _: "kept") for i in range(200)))
    assert done == ["kept"] * 200
    assert await count(database) == 200
    assert commits <= 3


async def test_one_refused_row_does_not_take_others_with_it(
    database: Database, writer: Writer
) -> None:
    bad = {**row(500), "tenant": None}
    inserts = [writer.insert(r, lambda _: None) for r in (row(1), bad, row(2))]
    done = await asyncio.gather(*inserts, return_exceptions=True)
    assert [type(d) for d in done] == [type(None), IntegrityError, type(None)]
    assert await count(database) == 2


async def test_memory_follows_in_the_order_of_the_changes(writer: Writer) -> None:
    order: list[str] = []

    async def delete(connection: AsyncConnection) -> str:
        await store.delete_ids(connection, [2])
        return "deleted"

    await asyncio.gather(
        writer.insert(row(1), lambda _: order.append("first")),
        writer.do(delete, order.append),
        writer.insert(row(2), lambda _: order.append("second")),
    )
    assert order == ["first", "deleted", "second"]


async def test_what_fails_in_memory_reaches_its_caller_alone(writer: Writer) -> None:
    def fails(_: object) -> None:
        raise ZeroDivisionError

    done = await asyncio.gather(
        writer.insert(row(1), fails),
        writer.insert(row(2), lambda _: "kept"),
        return_exceptions=True,
    )
    assert isinstance(done[0], ZeroDivisionError)
    assert done[1] == "kept"


async def test_closing_writes_what_waits_and_takes_no_more(database: Database) -> None:
    writer = Writer(database, max_waiting=10)
    writer.start()
    waiting = asyncio.create_task(writer.insert(row(1), lambda _: "kept"))
    await asyncio.sleep(0)
    await writer.close()
    assert await waiting == "kept"
    with pytest.raises(Overloaded):
        await writer.insert(row(2), lambda _: None)
