"""What is sent, and what is done where it is not known."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.hosted import submit
from serving.batch.hosted.parking import promote
from serving.batch.hosted.store import HostedStore, hosted_of
from serving.batch.hosted.submit import SKEW, Submitter
from serving.batch.hosted.values import BatchTier, HostedBatch
from serving.batch.hosted.verdicts import Verdicts
from serving.batch.values import utc_now
from serving.batches import BatchHandle, BatchStatus
from serving.storage.database import Database
from serving.storage.work import hosted_batches
from tests.serving.batch.hosted.desk import TIER
from tests.serving.batch.hosted.stage import FAST, OWNER, hard, stage

TOGETHER = FAST.model_copy(update={"flush_s": 3_600.0, "flush_lines": 10})


async def test_lines_of_a_batch_that_is_cancelled_first_are_not_sent(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, cancelled = HostedStore.begin_sending, list[int]()
    async with stage(database, tmp_path, settings=TOGETHER) as it:

        async def begin_late(self: HostedStore, hosted: HostedBatch) -> HostedBatch | None:
            if not cancelled:
                cancelled.append(hosted.lines)
                await it.batches.cancel(OWNER, gone)
            return await begin(self, hosted)

        monkeypatch.setattr(HostedStore, "begin_sending", begin_late)
        gone, kept = await it.submit(hard(5)), await it.submit(hard(5, first=5))
        async with it.working():
            done = await it.ended(kept)
            await it.ended(gone)
        assert cancelled == [10]
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert await it.sent() == 5
        (row,) = await it.hosted_rows()
        assert row.lines == 5


async def test_lines_that_are_cancelled_as_they_are_sent_are_not_sent_or_booked(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, cancelled = HostedStore.prepared, list[int]()
    async with stage(database, tmp_path, settings=TOGETHER) as it:

        async def prepared_late(self: HostedStore, hosted: HostedBatch) -> object:
            if not cancelled:
                cancelled.append(hosted.lines)
                await it.batches.cancel(OWNER, gone)
            return await prepared(self, hosted)

        monkeypatch.setattr(HostedStore, "prepared", prepared_late)
        gone, kept = await it.submit(hard(5)), await it.submit(hard(5, first=5))
        async with it.working():
            done = await it.ended(kept)
            await it.ended(gone)
            await it.hosted_in("done")
        assert cancelled == [10]
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert await it.sent() == 5 + len(it.late)


async def test_lines_that_are_promoted_first_are_not_sent(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, found = HostedStore.begin_sending, list[int]()

    async def begin_late(self: HostedStore, hosted: HostedBatch) -> HostedBatch | None:
        if not found:
            found.append(await promote(database, [], FAST, utc_now()))
        return await begin(self, hosted)

    monkeypatch.setattr(HostedStore, "begin_sending", begin_late)
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(4))
        async with it.working():
            done = await it.ended(batch_id)
            await it.hosted_in("done")
        assert found == [4]
        assert set(it.answers(done).values()) == {(200, "live")}
        assert await it.sent() == 0


async def test_a_submit_that_outlives_its_workers_lease_is_found(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "LIST_S", 0.05)
    patient = FAST.model_copy(update={"ambiguous_s": 1_200.0})
    async with stage(database, tmp_path, settings=patient) as it:
        it.faulty.next("POST", "/batches", "529")
        batch_id = await it.submit(hard(3))
        async with it.working():
            (row,) = await it.hosted_in("ambiguous")
            await it.api.pass_s(SKEW.total_seconds() + 60)
            hosted = hosted_of(row)
            lines = await HostedStore(database, "gone", it.clock).prepared(hosted)
            await it.hosted.tiers[TIER].backend.submit(lines, tag=row.id)
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert await it.sent() == 3
        assert [one.state for one in await it.hosted_rows()] == ["done"]


class Listing:
    """A provider's list where some batches have a mark, and some were made by others without."""

    async def list(self, since: datetime) -> AsyncIterator[BatchStatus]:
        for name, tag in (("theirs", None), ("ours", "hosted_1"), ("another", "hosted_2")):
            yield BatchStatus(BatchHandle(name, since, 3, tag), "running")


async def test_a_batch_with_the_right_mark_is_not_confused_with_those_without(
    database: Database,
) -> None:
    now = utc_now()
    row: dict[str, Any] = {
        "id": "hosted_1", "tenant": "acme", "tier": TIER, "state": "ambiguous", "purpose": "lines",
        "adopted": False, "rejected": [], "lines": 3, "bytes": 9, "tries": 0, "created_at": now,
        "sent_at": now, "ambiguous_at": now, "next_at": now, "owner": "me",
    }  # fmt: skip

    async def enter(connection: AsyncConnection) -> None:
        await connection.execute(insert(hosted_batches).values(row))

    await database.write(enter)
    store = HostedStore(database, "me", utc_now)

    async def book(_late: object) -> None:
        raise AssertionError("nothing was collected")

    verdicts = Verdicts(
        store, FAST, utc_now, book=book, resumed=lambda: None, ambiguous=lambda _: None
    )
    backend: Any = Listing()
    async with database.read() as connection:
        hosted = hosted_of((await connection.execute(hosted_batches.select())).one())
    await Submitter(store, verdicts, FAST, utc_now).find(hosted, BatchTier(TIER, backend))
    async with database.read() as connection:
        found = (await connection.execute(hosted_batches.select())).one()
    assert (found.state, found.provider_id, found.adopted) == ("submitted", "ours", False)
