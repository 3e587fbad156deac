"""Reading back what is stored: in chunks, and past rows that do not hold what they should."""

import asyncio

import pytest
from sqlalchemy import update

from cache.semantic import store
from cache.semantic.checked import made
from serving.storage.database import Database
from serving.storage.schema import semantic_entries
from tests.cache.semantic.entries import DIMENSIONS, EMBEDDER, HERE, axis, new
from tests.cache.semantic.shelves import shelf_at

NOW = 1_000.0


async def stored(database: Database, numbers: range) -> None:
    rows = [
        store.as_row(made(new(n, expires_at=2e9), n, NOW), axis(n % DIMENSIONS), EMBEDDER)
        for n in numbers
    ]
    async with database.begin() as connection:
        await store.insert(connection, rows)


async def test_entries_are_read_in_chunks_each_once(database: Database) -> None:
    await stored(database, range(1_201))
    chunks = [c async for c in store.load(database, EMBEDDER, DIMENSIONS, NOW)]
    assert [len(chunk) for chunk in chunks] == [500, 500, 201]
    assert [entry.id for chunk in chunks for entry, _ in chunk] == list(range(1_201))


@pytest.mark.parametrize(
    "damage",
    [
        {"vector": b"short"},
        {"vector": b"\0" * 4 * DIMENSIONS},
        {"vector": b"\xff" * 4 * DIMENSIONS},
    ],
)
async def test_a_damaged_row_is_passed_over(database: Database, damage: dict[str, object]) -> None:
    await stored(database, range(3))
    async with database.begin() as connection:
        await connection.execute(
            update(semantic_entries).where(semantic_entries.c.id == 1).values(**damage)
        )
    async with shelf_at(database) as shelf:
        assert {c.entry.id for c in shelf.find(HERE, axis(0))} == {0, 2}


async def test_two_processes_may_count_hits_of_one_entry(database: Database) -> None:
    async with shelf_at(database) as one:
        entry = await one.add(new(1))
        assert entry is not None
        async with shelf_at(database) as two:
            for shelf, hits in ((one, 3), (two, 4)):
                for _ in range(hits):
                    shelf.hit(entry.id)
            await asyncio.gather(one.flush(), two.flush())
    async with shelf_at(database) as again:
        assert again.find(HERE, axis(1))[0].entry.hits == 7


async def test_the_same_question_from_two_processes_has_one_answer(database: Database) -> None:
    async with shelf_at(database) as one, shelf_at(database) as two:
        await one.add(new(1, answer=b"first"))
        await two.add(new(1, answer=b"second"))
    async with shelf_at(database) as again:
        assert [c.entry.answer for c in again.find(HERE, axis(1))] == [b"second"]
