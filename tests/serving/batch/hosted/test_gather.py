"""Lines that share a prefix, while the batch that writes it ends; lines promoted meanwhile."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.hosted.gather import Gatherer
from serving.batch.hosted.parking import promote
from serving.batch.hosted.values import AT_WORK, HostedBatch
from serving.batch.hosted.verdicts import Verdicts
from serving.batch.values import utc_now
from serving.storage.database import Database
from serving.storage.work import hosted_batches, hosted_lines, parked_lines
from tests.serving.batch.hosted.desk import TIER
from tests.serving.batch.hosted.gates import blocked, needs_writers, until
from tests.serving.batch.hosted.stage import FAST, hard, stage
from tests.serving.batch.hosted.test_faults import SLOW

SYSTEM = "You sort questions of customers. " * 50


def always(_lines: int, _tokens: int) -> bool:
    return _lines > 1


async def state_of(database: Database, hosted_id: str) -> str:
    query = select(hosted_batches.c.state).where(hosted_batches.c.id == hosted_id)
    async with database.read() as connection:
        return str((await connection.execute(query)).scalar_one())


async def test_no_line_joins_a_batch_that_ends_meanwhile(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch waits with its end until lines have found it, and they until it has ended."""
    needs_writers(database)
    finish, writing = Verdicts.finish, Gatherer._writing
    found_it, states = asyncio.Event(), list[str]()

    async def finish_late(self: Verdicts, hosted: HostedBatch, reason: str | None = None) -> None:
        if hosted.purpose == "prefix":
            await found_it.wait()
        await finish(self, hosted, reason)

    async def writing_long(
        self: Gatherer, connection: AsyncConnection, group: Any
    ) -> dict[str, str]:
        found = await writing(self, connection, group)
        if found and not found_it.is_set():
            found_it.set()
            (hosted_id,) = found.values()

            async def settled() -> bool:
                ended = await state_of(database, hosted_id) == "done"
                return ended or await blocked(database)

            await until(settled)
            states.append(await state_of(database, hosted_id))
        return found

    monkeypatch.setattr(Verdicts, "finish", finish_late)
    monkeypatch.setattr(Gatherer, "_writing", writing_long)
    async with stage(database, tmp_path, pays=always) as it:
        first = await it.submit(hard(4, SYSTEM))
        async with it.working():
            await it.hosted_in("ended")
            second = await it.submit(hard(4, SYSTEM, first=10))
            for batch_id in (first, second):
                done = await it.ended(batch_id)
                assert set(it.answers(done).values()) == {(200, "Paris.")}
        rows = await it.hosted_rows()
    assert len(states) == 1
    assert states[0] in AT_WORK
    assert [row.purpose for row in rows].count("prefix") == 1


async def test_lines_that_wait_for_a_batch_that_is_over_are_sent(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, pays=always, batches=SLOW) as it:
        await it.submit(hard(4, SYSTEM))
        async with it.working():
            (writer,) = await it.hosted_in("submitted")
        assert writer.purpose == "prefix"

        async def over(connection: AsyncConnection) -> None:
            await connection.execute(update(hosted_batches).values(state="done"))
            await connection.execute(update(hosted_lines).values(state="done"))

        await database.write(over)
        async with it.working():
            rows = await it.hosted_in("submitted", at_least=2)
        assert [(row.purpose, row.lines) for row in rows] == [("prefix", 1), ("lines", 3)]
        async with database.read() as connection:
            columns = (parked_lines.c.after, parked_lines.c.marked)
            found = (await connection.execute(select(*columns))).all()
        assert set(found) == {(None, True)}


async def test_lines_that_are_being_gathered_are_not_promoted(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_writers(database)
    intend, promoted = Gatherer._intend, list[int]()

    async def intend_late(self: Gatherer, *args: Any) -> None:
        if not promoted:
            later = utc_now() + timedelta(hours=24)
            promoted.append(await promote(database, [TIER], FAST, later))
        await intend(self, *args)

    monkeypatch.setattr(Gatherer, "_intend", intend_late)
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(5))
        async with it.working():
            done = await it.ended(batch_id)
        assert promoted == [0]
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert not it.desk.live
