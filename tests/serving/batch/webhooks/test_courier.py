"""What is owed is delivered, at least once and under one id."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from serving.batch.values import utc_now
from serving.batch.webhooks import queue
from serving.batch.webhooks.courier import KEPT
from serving.batch.webhooks.notice import notice_id
from serving.batch.webhooks.queue import Notices
from serving.storage.database import Database
from tests.serving.batch.webhooks.couriers import owed, rows, running, settings
from tests.serving.batch.webhooks.receiver import FINE, SECRET, Got, answers, receiving


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNING", SECRET)


async def until(database: Database, holds: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            found = await rows(database)
            if found and all(map(holds, found)):
                return
            await asyncio.sleep(0.01)


def over(row: Any) -> bool:
    return str(row.state) != "waiting"


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


async def test_what_is_owed_is_delivered_once(database: Database) -> None:
    async with receiving() as receiver, running(database, settings(receiver)) as results:
        await owed(database, receiver.url, "b1", "b2", "b1")  # owing it twice changes nothing
        await results.count(2)
        assert [(r.state, r.outcome, r.tries) for r in await rows(database)] == [
            ("delivered", "200", 1)
        ] * 2
    ids = sorted(got.headers["webhook-id"] for got in receiver.got)
    assert ids == sorted(notice_id(b, "batch.completed") for b in ("b1", "b2"))
    assert results.counts == {"delivered": 2}


async def test_tries_come_with_growing_pauses_and_under_one_id(database: Database) -> None:
    clock = Time()
    async with receiving(answers(500, 500, 500, 200)) as receiver:
        chosen = settings(receiver, retry_s=5, max_retry_s=8)
        async with running(database, chosen, clock=clock) as results:
            await owed(database, receiver.url, "b1", now=clock.now)
            for tries, pause in ((1, 5), (2, 8), (3, 8)):
                await results.count(tries)
                (row,) = await rows(database)
                assert _again(tries, row)
                assert (row.due_at - clock.now).total_seconds() == pytest.approx(pause)
                clock.on(pause)
            await results.count(4)
            assert results.counts == {"again": 3, "delivered": 1}
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert len({got.body for got in receiver.got}) == 1


def _again(tries: int, row: Any) -> bool:
    return (row.tries, row.outcome, row.state) == (tries, "500", "waiting")


@pytest.mark.parametrize(("status", "tries"), [(500, 2), (410, 1)])
async def test_what_cannot_be_delivered_ends_in_the_log_without_its_url(
    database: Database, status: int, tries: int
) -> None:
    clock = Time()
    async with receiving(answers(status)) as receiver:
        chosen = settings(receiver, retry_s=10, give_up_s=15)
        with capture_logs() as logs:
            async with running(database, chosen, clock=clock) as results:
                await owed(database, f"{receiver.url}?token=hidden", "b1", now=clock.now)
                if status == 500:
                    await until(database, partial(_again, 1))
                    clock.on(10)
                await results.count(tries)
                assert results.counts["failed"] == 1
        (row,) = await rows(database)
        assert (row.state, row.outcome, row.tries) == ("failed", str(status), tries)
    (event,) = [entry for entry in logs if entry["event"] == "webhook_failed"]
    assert event["subject"] == "b1"
    assert event["outcome"] == str(status)
    assert "hidden" not in str(logs)


async def test_several_processes_share_what_is_owed(database: Database, database_url: str) -> None:
    other = await Database.open(database_url)
    async with receiving() as receiver:
        chosen = settings(receiver)
        await owed(database, receiver.url, *(f"b{i}" for i in range(40)))
        async with running(database, chosen) as one, running(other, chosen) as two:
            await until(database, over)
    await other.close()
    assert one.counts + two.counts == {"delivered": 40}
    assert set(Counter(got.headers["webhook-id"] for got in receiver.got).values()) == {1}


async def test_what_a_process_took_and_left_is_delivered_by_another(database: Database) -> None:
    clock = Time()
    async with receiving() as receiver:
        await owed(database, receiver.url, "b1", now=clock.now)
        lost = Notices(database, lease_s=10, clock=clock)
        (notice,) = await lost.claim(5, Counter(), 4)
        assert await lost.claim(5, Counter(), 4) == []
        clock.on(10)
        async with running(database, settings(receiver), clock=clock):
            await until(database, over)
        # The one that was taken for dead changes nothing any more.
        assert not await lost.failed(notice, "timeout")
        await lost.again(notice, "timeout", clock.now)
        (row,) = await rows(database)
        assert (row.state, row.outcome, row.tries) == ("delivered", "200", 2)


async def test_a_slow_receiver_does_not_hold_up_the_others(database: Database) -> None:
    go = asyncio.Event()

    async def slow(got: Got, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(FINE)

    async with receiving(slow) as stuck, receiving() as quick:
        await owed(database, stuck.url, *(f"a{i}" for i in range(80)), now=utc_now())
        await owed(database, quick.url, "b")
        chosen = settings(stuck, quick, timeout_s=20)
        async with running(database, chosen) as results:
            await quick.count(1)
            await results.count(1)
            assert stuck.connections <= 4
            go.set()
            await results.count(81)
            assert results.counts == {"delivered": 81}


async def test_what_ended_long_ago_is_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "SWEPT_AT_ONCE", 2)
    clock = Time()
    async with receiving() as receiver:
        chosen = settings(receiver)
        async with running(database, chosen, clock=clock):
            await owed(database, receiver.url, *(f"a{i}" for i in range(5)), now=clock.now)
            await until(database, over)
        clock.on(KEPT.total_seconds() + 1)
        await owed(database, receiver.url, "b2", now=clock.now)
        async with running(database, chosen, clock=clock):
            await until(database, over)
        assert [row.subject for row in await rows(database)] == ["b2"]
