"""Lines that local tiers fail go to the provider's batches, and each ends once."""

from pathlib import Path

from serving.batch.values import Owner
from serving.settings.emulator import EmulatorBatches
from serving.storage.database import Database
from tests.serving.batch.hosted.stage import OWNER, asked, hard, stage


async def test_hard_lines_are_answered_by_one_batch(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as it:
        easy = [asked(f"e{i}", "easy") for i in range(5)]
        batch_id = await it.submit([*easy, *hard(20)])
        async with it.working():
            done = await it.ended(batch_id)
        answers = it.answers(done)
        assert answers == {
            **{f"e{i}": (200, "below") for i in range(5)},
            **{f"h{i}": (200, "Paris.") for i in range(20)},
        }
        (row,) = await it.hosted_rows()
        assert (row.state, row.lines, row.tenant) == ("done", 20, OWNER.tenant)
        assert await it.sent() == 20
        assert it.desk.live == dict.fromkeys((f"e{i}" for i in range(5)), 1)
        costs = {r.cost_usd for found in it.desk.results.values() for r in found}
        assert all(cost for cost in costs)


async def test_a_result_that_does_not_do_goes_on_to_another_batch(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit([asked(f"t{i}", "hard twice") for i in range(3)])
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert [row.lines for row in await it.hosted_rows()] == [3, 3]
        assert {len(found) for found in it.desk.results.values()} == {2}


async def test_tenants_never_share_a_hosted_batch(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as it:
        other = Owner("other", None)
        ids = [await it.submit(hard(2)), await it.submit(hard(3), other)]
        async with it.working():
            await it.ended(ids[0])
            await it.ended(ids[1], other)
        rows = await it.hosted_rows()
        assert {(row.tenant, row.lines) for row in rows} == {("acme", 2), ("other", 3)}


async def test_lines_of_several_batches_go_together(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as it:
        ids = [await it.submit(hard(2)), await it.submit(hard(3))]
        async with it.working():
            for one in ids:
                assert len(it.answers(await it.ended(one))) in (2, 3)
        assert sum(row.lines for row in await it.hosted_rows()) == 5


async def test_what_waits_is_told_while_it_runs(database: Database, tmp_path: Path) -> None:
    rules = EmulatorBatches(delay_s=600, requests_per_s=1_000)
    async with stage(database, tmp_path, batches=rules) as it:
        batch_id = await it.submit([asked("e", "easy"), *hard(3)])
        async with it.working():
            await it.hosted_in("submitted")
            shown = (await it.batches.retrieve(OWNER, batch_id))["stepwell"]
            counts = {name: shown[name] for name in ("waiting", "running", "parked", "hosted")}
            assert counts == {"waiting": 0, "running": 0, "parked": {}, "hosted": {"top": 3}}
            await it.api.pass_s(3_600)
            done = await it.ended(batch_id)
        assert "hosted" not in done["stepwell"]
        assert done["stepwell"]["tiers"] == {"top": 3}
