"""Submits that may have arrived, batches that end otherwise, lines that cannot wait."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from serving.batch.hosted.work import Hosted
from serving.batch.values import Owner
from serving.hosted.client import EMULATOR_KEY
from serving.settings.emulator import EmulatorBatches
from serving.storage.database import Database
from serving.storage.work import batches, hosted_batches, parked_lines
from tests.serving.batch.hosted.desk import TIER
from tests.serving.batch.hosted.stage import AT_ONCE, FAST, OWNER, hard, stage

SLOW = EmulatorBatches(delay_s=3_600, cancel_s=0.01)
DAY_S = 86_400


async def promoted_now(database: Database) -> None:
    """As if the time of all batches were nearly over."""
    soon = timedelta(seconds=FAST.live_s - 60)

    async def work(connection: object) -> None:
        for table in (batches, parked_lines):
            value = table.c.expires_at
            row = select(value).limit(1)
            at = (await connection.execute(row)).scalar_one()  # type: ignore[attr-defined]
            change = update(table).values(expires_at=at - timedelta(days=1) + soon)
            await connection.execute(change)  # type: ignore[attr-defined]

    await database.write(work)


@pytest.mark.parametrize("fault", ["dropped", "malformed", "truncated"])
async def test_a_submit_whose_answer_is_lost_is_found_and_not_repeated(
    database: Database, tmp_path: Path, fault: str
) -> None:
    async with stage(database, tmp_path) as it:
        it.faulty.next("POST", "/batches", fault)
        batch_id = await it.submit(hard(8))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        (row,) = await it.hosted_rows()
        assert (row.state, row.adopted) == ("done", True)
        assert await it.sent() == 8
        assert not it.desk.live


async def test_a_submit_that_never_arrived_is_made_again_after_a_time(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path) as it:
        it.faulty.next("POST", "/batches", "529")  # it might have: nobody promises it has not
        batch_id = await it.submit(hard(4))
        async with it.working():
            rows = await it.hosted_in("ambiguous")
            assert [row.state for row in rows] == ["ambiguous"]
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert [row.state for row in await it.hosted_rows()] == ["lost", "done"]
        lost = (await it.hosted_rows())[0]
        assert lost.ambiguous_at is not None
        assert await it.sent() == 4


async def test_batches_of_others_with_as_many_lines_are_not_taken_for_ours(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path) as it, it.api.client(EMULATOR_KEY) as sdk:
        it.faulty.next("POST", "/batches", "529")
        batch_id = await it.submit(hard(2))
        async with it.working():
            await it.hosted_in("ambiguous")
            params = {
                "model": "claude-opus-5-5",
                "max_tokens": 10,
                "messages": [{"role": "user", "content": "Hi"}],
            }
            await sdk.messages.batches.create(
                requests=[{"custom_id": f"o{i}", "params": params} for i in range(2)]  # type: ignore[typeddict-item]
            )
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        rows = await it.hosted_rows()
        assert len(rows[0].rejected) == 1
        assert [row.state for row in rows] == ["lost", "done"]
        assert await it.sent() == 4  # theirs and ours


@pytest.mark.parametrize("fault", ["429", "403"])
async def test_a_refused_submit_is_made_again(
    database: Database, tmp_path: Path, fault: str
) -> None:
    async with stage(database, tmp_path) as it:
        it.faulty.next("POST", "/batches", fault)
        batch_id = await it.submit(hard(3))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert await it.sent() == 3


@pytest.mark.parametrize("fault", ["truncated", "dropped", "malformed"])
async def test_results_that_break_off_are_collected_again(
    database: Database, tmp_path: Path, fault: str
) -> None:
    async with stage(database, tmp_path) as it:
        it.faulty.next("GET", "/results", fault)
        batch_id = await it.submit(hard(10))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert await it.sent() == 10
        assert {len(found) for found in it.desk.results.values()} == {1}


async def test_lines_that_fail_or_expire_are_sent_again_and_then_told(
    database: Database, tmp_path: Path
) -> None:
    rules = AT_ONCE.model_copy(update={"errored": 1.0})
    async with stage(database, tmp_path, batches=rules) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(502, "error tier_unavailable")}
        assert [row.lines for row in await it.hosted_rows()] == [3] * FAST.hosted_tries


async def test_lines_that_expire_at_the_provider_are_answered_live_in_the_end(
    database: Database, tmp_path: Path
) -> None:
    rules = AT_ONCE.model_copy(update={"expired": 1.0})
    async with stage(database, tmp_path, batches=rules) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "live")}
        assert len(await it.hosted_rows()) == FAST.hosted_tries


async def test_a_batch_that_is_cancelled_at_the_provider_is_sent_again(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, batches=SLOW) as it, it.api.client(EMULATOR_KEY) as sdk:
        batch_id = await it.submit(hard(3))
        async with it.working():
            (row,) = await it.hosted_in("submitted")
            await sdk.messages.batches.cancel(row.provider_id)
            await it.hosted_in("submitted", at_least=2)
            await it.api.pass_s(7_200)
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}


async def test_a_batch_that_expires_at_the_provider_is_sent_again(
    database: Database, tmp_path: Path
) -> None:
    slow = EmulatorBatches(delay_s=DAY_S, requests_per_s=0.001)
    async with stage(database, tmp_path, batches=slow) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            await it.hosted_in("submitted")
            await it.api.pass_s(DAY_S + 1)
            await it.hosted_in("submitted", at_least=2)
            await promoted_now(database)
            done = await it.ended(batch_id)
        found = it.answers(done)
        assert set(found.values()) <= {(200, "Paris."), (200, "live")}
        assert len(found) == 3


async def test_a_cancelled_batch_is_cancelled_at_the_provider_and_nothing_is_answered(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, batches=SLOW) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            (row,) = await it.hosted_in("submitted")
            await it.batches.cancel(OWNER, batch_id)
            done = await it.ended(batch_id)
            (row,) = await it.hosted_in("done")
        assert set(it.answers(done).values()) == {(0, "batch_cancelled")}
        assert row.cancel_at is not None
        assert it.late  # told, and free
        assert {one.result.state for one in it.late} == {"cancelled"}


async def test_what_a_cancelled_line_cost_is_booked_while_others_go_on(
    database: Database, tmp_path: Path
) -> None:
    rules = EmulatorBatches(delay_s=30, requests_per_s=1_000, cache_share=1.0)
    together = FAST.model_copy(update={"flush_s": 3_600.0, "flush_lines": 5})
    async with stage(database, tmp_path, batches=rules, settings=together) as it:
        gone, kept = await it.submit(hard(3)), await it.submit(hard(2, first=10))
        async with it.working():
            (row,) = await it.hosted_in("submitted")
            assert row.lines == 5
            await it.batches.cancel(OWNER, gone)
            await it.ended(gone)
            await it.api.pass_s(60)
            done = await it.ended(kept)
            assert set(it.answers(done).values()) == {(200, "Paris.")}
            (row,) = await it.hosted_in("done")
        assert row.cancel_at is None
        assert {one.request_id for one in it.late} == {f"req-h{i}" for i in range(3)}
        assert all(one.result.cost_usd for one in it.late)


async def test_lines_whose_window_ends_are_answered_live_and_once(
    database: Database, tmp_path: Path
) -> None:
    rules = EmulatorBatches(delay_s=600, requests_per_s=1_000, cancel_s=600)
    async with stage(database, tmp_path, batches=rules) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            await it.hosted_in("submitted")
            await promoted_now(database)
            done = await it.ended(batch_id)
            assert set(it.answers(done).values()) == {(200, "live")}
            assert it.desk.live == dict.fromkeys(("h0", "h1", "h2"), 1)
            await it.api.pass_s(3_600)
            await it.hosted_in("done")
        assert len(it.late) == 3  # cancelled too late or in time, it is told


async def test_a_short_window_leaves_no_time_to_park(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(2), hours=1)
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "live")}
        assert await it.hosted_rows() == []


async def test_a_batch_that_the_provider_forgot_is_sent_again(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path) as it:
        it.faulty.next("GET", "", "404")
        batch_id = await it.submit(hard(2))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}


async def test_one_poller_at_a_time(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(20))
        async with it.working(), it.working(), it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert await it.sent() == 20
        async with database.read() as connection:
            tiers = (await connection.execute(select(hosted_batches.c.tier))).scalars()
            assert set(tiers) == {TIER}


async def test_two_lost_submits_of_one_size_are_told_apart_by_their_lines(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path) as it:
        for _ in range(2):
            it.faulty.next("POST", "/batches", "dropped")
        other = Owner("other", None)
        ids = [await it.submit(hard(3)), await it.submit(hard(3, first=7), other)]
        async with it.working():
            mine, theirs = await it.ended(ids[0]), await it.ended(ids[1], other)
        assert it.answers(mine) == dict.fromkeys(("h0", "h1", "h2"), (200, "Paris."))
        assert it.answers(theirs) == dict.fromkeys(("h7", "h8", "h9"), (200, "Paris."))
        assert {(row.state, row.lines) for row in await it.hosted_rows()} == {("done", 3)}
        assert await it.sent() == 6


async def test_lines_of_a_tier_that_has_no_batches_any_more_are_answered_live(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, batches=SLOW) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            await it.hosted_in("submitted")
        it.hosted = Hosted({})
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "live")}
