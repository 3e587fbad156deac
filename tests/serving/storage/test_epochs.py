"""Evictions in the database: numbered in the order of their commits, and few."""

import asyncio

import pytest
from sqlalchemy import func, select, text

from serving.storage import epochs
from serving.storage.database import Database
from serving.storage.epochs import Changes, EpochStore
from serving.storage.schema import cache_epochs


async def rows(database: Database) -> int:
    async with database.read() as connection:
        query = select(func.count()).select_from(cache_epochs)
        return int((await connection.execute(query)).scalar_one())


async def test_a_reader_gets_what_came_after_its_last_look(database: Database) -> None:
    store = EpochStore(database)
    assert await store.changes(None) == Changes(0, (), complete=True)
    assert await store.changes(0) == Changes(0, (), complete=True)
    await store.bump(["a", "b"])
    assert await store.changes(None) == Changes(2, (), complete=True)
    changes = await store.changes(0)
    assert (changes.newest, sorted(changes.scopes), changes.complete) == (2, ["a", "b"], True)
    await store.bump(["a"])
    assert await store.changes(2) == Changes(3, ("a",), complete=True)
    assert await store.changes(3) == Changes(3, (), complete=True)
    await store.bump([])
    assert await rows(database) == 3


async def test_another_process_reads_it(database: Database, database_url: str) -> None:
    await EpochStore(database).bump(["a"])
    other = await Database.open(database_url)
    assert await EpochStore(other).changes(0) == Changes(1, ("a",), complete=True)
    await other.close()


async def test_the_table_stays_small(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that was away for longer than the table reaches back is told so."""
    monkeypatch.setattr(epochs, "KEPT", 5)
    store = EpochStore(database)
    for i in range(12):
        await store.bump([f"s{i}"])
    assert await rows(database) == 6  # and the counter
    assert not (await store.changes(6)).complete
    changes = await store.changes(7)
    assert changes.complete
    assert sorted(changes.scopes) == ["s10", "s11", "s7", "s8", "s9"]
    await store.bump([f"many{i}" for i in range(20)])
    assert await rows(database) == 6


async def test_a_restored_database_is_noticed(database: Database) -> None:
    store = EpochStore(database)
    await store.bump(["a", "b", "c"])
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM cache_epochs"))
    await store.bump(["d"])
    assert await store.changes(3) == Changes(1, (), complete=False)


async def test_no_reader_passes_an_eviction_that_commits_late(
    database: Database, database_url: str
) -> None:
    """Writers commit in the order of their epochs, so a reader that follows misses none."""
    others = [await Database.open(database_url) for _ in range(3)]
    heard: list[str] = []
    done = asyncio.Event()

    async def follow() -> None:
        store, seen = EpochStore(database), 0
        while True:
            last = done.is_set()
            changes = await store.changes(seen)
            assert changes.complete
            heard.extend(changes.scopes)
            seen = changes.newest
            if last:
                return

    async def write(writer: int) -> None:
        store = EpochStore(others[writer])
        for i in range(25):
            await store.bump([f"{writer}-{i}", f"{writer}-{i}x"])

    reader = asyncio.create_task(follow())
    await asyncio.gather(*(write(i) for i in range(3)))
    done.set()
    await reader
    assert sorted(heard) == sorted(
        f"{w}-{i}{x}" for w in range(3) for i in range(25) for x in ["x", ""]
    )
    for other in others:
        await other.close()
