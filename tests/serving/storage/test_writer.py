"""The batch writer loses no row."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.storage.writer import BATCH_ROWS, BatchWriter
from tests.serving.storage.rows import attempt, break_down, count, repair

POISON = Decimal("1e8")  # more than a money column holds


def writer(database: Database, *, interval: float = 60.0, max_rows: int = 10_000) -> BatchWriter:
    return BatchWriter(database, attempts, flush_interval_s=interval, max_rows=max_rows)


def events(logs: Any, name: str) -> list[Any]:
    return [entry for entry in logs if entry["event"] == name]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.01)


async def test_rows_are_written_at_the_interval(database: Database) -> None:
    batches = writer(database, interval=0.05)
    await batches.start()
    for i in range(2 * BATCH_ROWS + 1):
        batches.put(attempt(str(i)))

    async def written() -> bool:
        return await count(database) == 2 * BATCH_ROWS + 1

    await until(written)
    assert len(batches) == 0
    await batches.close()


async def test_a_full_buffer_is_flushed_before_the_interval(database: Database) -> None:
    batches = writer(database, interval=60.0, max_rows=10)
    await batches.start()
    for i in range(10):
        batches.put(attempt(str(i)))

    async def written() -> bool:
        return await count(database) == 10

    await until(written)
    await batches.close()


async def test_closing_flushes(database: Database) -> None:
    batches = writer(database)
    await batches.start()
    batches.put(attempt("a"))
    await batches.close()
    assert await count(database) == 1


async def test_producers_wait_for_room_and_make_it(database: Database) -> None:
    batches = writer(database, max_rows=5)

    async def produce(i: int) -> None:
        assert await batches.wait_for_room()
        batches.put(attempt(str(i)))

    for i in range(23):
        await produce(i)
        assert len(batches) <= 5
    await batches.flush()
    assert await count(database) == 23


async def test_an_outage_keeps_rows_and_is_logged_once(database: Database) -> None:
    batches = writer(database, interval=0.02, max_rows=3)
    await break_down(database)
    with capture_logs() as logs:
        await batches.start()
        for i in range(3):
            batches.put(attempt(str(i)))

        async def failed() -> bool:
            return bool(events(logs, "flush_failed"))

        await until(failed)
        await asyncio.sleep(0.1)  # some more intervals
        assert not await batches.wait_for_room()
        with pytest.raises(Exception, match="attempts"):
            await batches.flush()
        await repair(database)

        async def written() -> bool:
            return await count(database) == 3

        await until(written)
        await until(batches.wait_for_room)
        await batches.close()
    assert len(events(logs, "flush_failed")) == 1
    assert len(events(logs, "flush_recovered")) == 1
    assert len(batches) == 0


async def test_a_refused_row_does_not_hold_up_the_others(database: Database) -> None:
    batches = writer(database)
    for i in range(20):
        batches.put(attempt(str(i), cost=POISON if i == 7 else Decimal(1)))
    with capture_logs() as logs:
        await batches.flush()
    assert await count(database) == 19
    assert len(batches) == 0
    (refused,) = events(logs, "row_refused")
    assert refused["row"]["id"] == "7"
    assert refused["row"]["cost"] == "1E+8"


async def test_rows_that_closing_cannot_write_are_logged_whole(database: Database) -> None:
    batches = writer(database, interval=0.01)
    batches.put(attempt("a", cost=Decimal("0.25"), tenant="acme"))
    await break_down(database)
    with capture_logs() as logs:
        await batches.close()
    (lost,) = events(logs, "row_not_written")
    assert lost["row"]["tenant"] == "acme"
    assert lost["row"]["cost"] == "0.25"
    await repair(database)


async def test_a_newer_version_during_a_flush_is_not_forgotten(database: Database) -> None:
    batches = writer(database)
    batches.put(attempt("a", outcome="intent"))
    flushing = asyncio.create_task(batches.flush())
    await asyncio.sleep(0)
    batches.put(attempt("a", outcome="accepted"))
    await flushing
    await batches.flush()
    async with database.read() as connection:
        rows = (await connection.execute(attempts.select())).all()
    assert [row.outcome for row in rows] == ["accepted"]


async def test_a_cancelled_flush_ends_all_the_same(database: Database) -> None:
    """A caller that leaves amid a statement neither loses rows nor keeps SQLite's lock."""
    batches = writer(database)
    for round_ in range(10):
        for i in range(2 * BATCH_ROWS):
            batches.put(attempt(f"{round_}-{i}"))
        flushing = asyncio.create_task(batches.flush())
        await asyncio.sleep(0.001 * round_)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
    async with asyncio.timeout(5):
        await batches.flush()
    assert await count(database) == 20 * BATCH_ROWS
    assert len(batches) == 0
