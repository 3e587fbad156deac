"""Lines that are promoted while their results come: each result is used or booked, once."""

import asyncio
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch import leases
from serving.batch.hosted.parking import going_on, promote
from serving.batch.hosted.store import HostedStore, hosted_of
from serving.batch.hosted.values import HostedBatch
from serving.batch.hosted.verdicts import Verdicts
from serving.batch.values import LineAnswer, Parked, utc_now
from serving.batches import BatchResult
from serving.settings.emulator import EmulatorBatches
from serving.storage.database import Database
from tests.serving.batch.hosted.desk import TIER
from tests.serving.batch.hosted.gates import blocked, needs_writers, until
from tests.serving.batch.hosted.stage import FAST, Stage, hard, stage
from tests.serving.batch.hosted.test_faults import promoted_now

SLOW = EmulatorBatches(delay_s=600, requests_per_s=1_000, cancel_s=600)


async def promoted(database: Database) -> int:
    """As if it were a day later."""
    return await promote(database, [TIER], FAST, utc_now() + timedelta(hours=24))


async def test_a_result_that_is_being_written_is_not_lost_to_a_promotion(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_writers(database)
    settle, found = Verdicts._settle, list[int]()

    async def settle_late(
        self: Verdicts, connection: AsyncConnection, hosted: HostedBatch, rows: Any, results: Any
    ) -> None:
        if results and not found:
            found.append(await promoted(database))
        await settle(self, connection, hosted, rows, results)

    monkeypatch.setattr(Verdicts, "_settle", settle_late)
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(5))
        async with it.working():
            done = await it.ended(batch_id)
        assert found == [0]
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert not it.desk.live


async def test_a_result_that_comes_as_a_promoted_line_is_taken_is_booked(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_writers(database)
    taking: list[asyncio.Task[None]] = []

    async with stage(database, tmp_path, batches=SLOW) as it:

        async def claimed(
            connection: AsyncConnection, batch_id: str, numbers: Collection[int]
        ) -> Any:
            found = await going_on(connection, batch_id, numbers)
            if found and not taking:
                taking.append(asyncio.create_task(take_all(it)))
                await until(lambda: blocked(database))
            return found

        monkeypatch.setattr(leases, "going_on", claimed)
        batch_id = await it.submit(hard(3))
        async with it.working():
            await it.hosted_in("submitted")
            await promoted_now(database)
            done = await it.ended(batch_id)
            await taking[0]
        assert set(it.answers(done).values()) == {(200, "live")}
        assert {one.request_id for one in it.late} == {f"req-h{i}" for i in range(3)}


async def take_all(it: Stage) -> None:
    """What a worker does with results that have come."""
    await it.api.pass_s(3_600)
    (row,) = await it.hosted_rows()
    backend = it.hosted.tiers[TIER].backend
    results: list[BatchResult] = [r async for r in backend.collect(row.provider_id)]
    store = HostedStore(it.database, "another", it.clock)
    verdicts = Verdicts(
        store,
        it.settings,
        it.clock,
        book=it.hosted.book,
        resumed=lambda: None,
        ambiguous=lambda _: None,
    )
    await verdicts.take(hosted_of(row), results)


async def test_promoted_lines_take_results_that_come_before_their_turn(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_at_a_time = FAST.model_copy(update={"concurrency": 1})
    began, go = asyncio.Event(), asyncio.Event()
    async with stage(database, tmp_path, batches=SLOW, settings=one_at_a_time) as it:
        answer = it.desk.answer

        async def answer_late(*args: Any, **options: Any) -> LineAnswer | Parked:
            if options["resumed"] is not None:
                began.set()
                await go.wait()
            return await answer(*args, **options)

        monkeypatch.setattr(it.desk, "answer", answer_late)
        batch_id = await it.submit(hard(6))
        async with it.working():
            await it.hosted_in("submitted")
            await promoted_now(database)
            async with asyncio.timeout(10):
                await began.wait()
            await it.api.pass_s(3_600)
            (row,) = await it.hosted_in("done")
            go.set()
            done = await it.ended(batch_id)
        assert row.cancel_at is None
        assert Counter(it.answers(done).values()) == {(200, "live"): 1, (200, "Paris."): 5}
        assert it.desk.live.total() == len(it.late) == 1


async def test_promoted_lines_take_no_failures(database: Database, tmp_path: Path) -> None:
    """They are about to be answered live, which is better."""
    rules = SLOW.model_copy(update={"errored": 1.0})
    async with stage(database, tmp_path, batches=rules) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            await it.hosted_in("submitted")
        assert await promoted(database) == 3
        await take_all(it)
        assert {one.result.state for one in it.late} == {"errored"}
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "live")}
