"""Several workers on one database: each line is one's alone, and a dead one's is another's."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.api.batch_lines import ChatLines
from serving.batch.check import line_row
from serving.batch.files import FileStore
from serving.batch.leases import Ended, Leases
from serving.batch.service import BatchService
from serving.batch.values import CHAT, Batch, LineAnswer, utc_now
from serving.batch.worker import Worker
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from serving.storage.work import batch_lines, batches
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import settings
from tests.serving.batch.test_killed import LINES, OWNER, submitted

FAST = BatchSettings(poll_s=0.02, lease_s=5.0, concurrency=3)


def worker(database: Database, files: FileStore, backend: Scripted) -> Worker:
    desk = ChatLines(backend, settings())
    return Worker(database, files, desk, FAST, max_line_bytes=100_000)


async def test_two_workers_share_a_batch_and_no_line_is_answered_twice(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    other = await Database.open(database_url)
    files = FileStore(database, tmp_path, FAST)
    batch_id = await submitted(database, files)
    backends = [Scripted(steps=("Hi", 0.005)), Scripted(steps=("Hi", 0.005))]
    workers = [worker(db, files, b) for db, b in zip((database, other), backends, strict=True)]
    for one in workers:
        await one.start()
    service = BatchService(database, files)
    async with asyncio.timeout(30):
        while True:
            done = await service.retrieve(OWNER, batch_id)
            if done["status"] == "completed":
                break
            await asyncio.sleep(0.02)
    for one in workers:
        await one.close()
    await other.close()
    asked = Counter(r.last_user_text for b in backends for r, _ in b.asked)
    assert asked == {str(i): 1 for i in range(1, LINES + 1)}
    assert all(b.asked for b in backends)
    assert done["request_counts"]["completed"] == LINES


class Clock:
    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def two(database: Database, tmp_path: Path) -> AsyncIterator[tuple[Leases, Leases, Clock]]:
    """Two workers' leases, and a batch in progress."""
    clock = Clock()
    files = FileStore(database, tmp_path, FAST, clock)
    await submitted(database, files)
    one, other = (Leases(database, name, lease_s=30, clock=clock) for name in ("one", "other"))
    await one.renew()
    await other.renew()
    batch = await one.claim_batch("validating")
    assert batch is not None
    rows = [
        {
            "batch_id": batch.id,
            "number": i,
            "custom_id": f"l{i}",
            "offset": 0,
            "length": 1,
            "state": "waiting",
            "claims": 0,
            "failures": 0,
            **dict.fromkeys(("prompt_tokens", "cached_tokens"), 0),
            **dict.fromkeys(("completion_tokens", "reasoning_tokens"), 0),
        }
        for i in range(1, 4)
    ]
    assert await one.put_lines(batch, rows[:2])
    assert await one.put_lines(batch, rows)  # again, as after a crash
    assert await one.advance(batch, status="in_progress", in_progress_at=clock(), total=3)
    yield one, other, clock


async def only(leases: Leases) -> Batch:
    (batch,) = await leases.ready(0, 9)
    assert await leases.running([batch.id, "batch_other"]) == {batch.id}
    return batch


async def test_a_line_is_one_worker_s(database: Database, tmp_path: Path) -> None:
    async with two(database, tmp_path) as (one, other, _):
        batch = await only(one)
        mine = await one.claim_lines(batch, 2)
        assert [line.number for line in mine] == [1, 2]
        assert [line.number for line in await other.claim_lines(batch, 5)] == [3]
        assert await one.claim_lines(batch, 5) == []
        await one.put_back(mine)
        assert [line.claims for line in await other.claim_lines(batch, 5)] == [2, 2]


async def test_lines_of_a_worker_that_is_gone_are_free(database: Database, tmp_path: Path) -> None:
    async with two(database, tmp_path) as (one, other, clock):
        batch = await only(one)
        (line, *_) = await one.claim_lines(batch, 3)
        await other.free_lost()
        assert await other.claim_lines(batch, 3) == []
        clock.now += timedelta(seconds=31)
        await other.renew()
        await other.free_lost()
        again = await other.claim_lines(batch, 3)
        assert [one.claims for one in again] == [2, 2, 2]
        # The first worker was only slow; what it brings now is discarded.
        stale = LineAnswer(200, "req_1", b"{}", tier="stale")
        await one.finish([Ended(line, stale, b"stale\n")])
        await other.finish([Ended(again[0], LineAnswer(200, "req_2", b"{}"), b"fresh\n")])
        await one.put_back([line])
        clock.now += timedelta(seconds=31)
        await one.renew()
        await one.free_lost()
        assert [x.number for x in await one.claim_lines(batch, 3)] == [2, 3]


async def test_a_batch_is_checked_by_one_worker(database: Database, tmp_path: Path) -> None:
    clock = Clock()
    files = FileStore(database, tmp_path, FAST, clock)
    await submitted(database, files)
    one, other = (Leases(database, name, lease_s=30, clock=clock) for name in ("one", "other"))
    await one.renew()
    await other.renew()
    batch = await one.claim_batch("validating")
    assert batch is not None
    assert await other.claim_batch("validating") is None
    clock.now += timedelta(seconds=31)
    await other.renew()
    taken = await other.claim_batch("validating")
    assert taken is not None
    assert not await one.advance(batch, status="in_progress")
    assert await other.advance(taken, status="in_progress", in_progress_at=clock())


async def test_a_worker_that_ends_leaves_what_it_holds(database: Database, tmp_path: Path) -> None:
    async with two(database, tmp_path) as (one, other, _):
        batch = await only(one)
        await one.claim_lines(batch, 3)
        await one.end()
        assert len(await other.claim_lines(batch, 3)) == 3


async def test_whose_turn_it_is_among_very_many(database: Database) -> None:
    """A tenant with ever so many batches holds up nobody, and of what waits little is read."""
    begun = utc_now()
    leases = Leases(database, "one", lease_s=30, clock=lambda: begun)
    names = [*(f"a{i:02}" for i in range(60)), "b00", "b01", "c00"]
    made = [
        Batch(
            id=name,
            tenant=name[0],
            key_id=None,
            endpoint=CHAT,
            input_file_id="",
            completion_window="24h",
            labels=None,
            status="in_progress",
            created_at=begun + timedelta(seconds=i),
            expires_at=begun + timedelta(days=1),
            hidden=i % 2 == 0,
        )
        for i, name in enumerate(names)
    ]
    idle = ("a00", "b00")  # none of their lines waits for a worker
    lines = [line_row(name, 1, "x", 0, 1) for name in names]
    for line in lines:
        line["state"] = "leased" if line["batch_id"] in idle else "waiting"

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(insert(batches), [asdict(one) for one in made])
        await connection.execute(insert(batch_lines), lines)

    await database.write(work)

    async def ready(turn: int, most: int) -> list[str]:
        return [batch.id for batch in await leases.ready(turn, most)]

    assert await ready(0, 4) == ["a01", "b01", "c00", "a02"]
    assert await ready(1, 4) == ["b01", "c00", "a01", "a02"]
    assert await ready(2, 1) == ["c00"]
    assert len(await ready(0, 99)) == len(names) - len(idle)
    assert await leases.running(["a00", "a01", "gone"]) == {"a00", "a01"}
    assert await leases.running([]) == set()
