"""A prefix that many lines share is written once, for an hour, and read by the others."""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploy.batch_tiers import pays_of
from serving.batch.hosted.values import Alike, Pays
from serving.hosted.emulator.billing.account import Bill
from serving.storage.database import Database
from tests.serving.batch.hosted.desk import MODEL
from tests.serving.batch.hosted.stage import PRICE, Stage, hard, stage
from tests.serving.hosted.fakes import tier

SYSTEM = "You sort questions of customers. " * 200  # some 1,200 tokens


def pays() -> Pays:
    found = pays_of(tier(MODEL), PRICE, 0.8)
    assert found is not None
    return found


async def run(it: Stage, lines: list[Any]) -> list[Bill]:
    batch_id = await it.submit(lines)
    async with it.working():
        done = await it.ended(batch_id)
    assert set(it.answers(done).values()) == {(200, "Paris.")}
    assert len(it.answers(done)) == len(lines)
    return it.api.emulator.account.bills()


def usd(bills: list[Bill]) -> Decimal:
    return sum((bill.usd or Decimal(0) for bill in bills), Decimal(0))


async def test_one_request_writes_it_and_the_others_read_it(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, pays=pays()) as it:
        bills = await run(it, hard(12, SYSTEM))
        rows = await it.hosted_rows()
        assert [(row.purpose, row.lines) for row in rows] == [("prefix", 1), ("lines", 11)]
        assert rows[1].created_at > rows[0].submitted_at
        (written,) = [b.tokens for b in bills if b.tokens.cache_write_1h]
        assert written.cache_write_1h > 512
        assert not any(b.tokens.cache_write_5m for b in bills)
        read = [b.tokens.cache_read for b in bills if b.tokens.cache_read]
        assert read == [written.cache_write_1h] * 11


async def test_it_costs_less_than_half(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path / "a", pays=pays()) as it:
        shared = usd(await run(it, hard(12, SYSTEM)))
    async with stage(database, tmp_path / "b") as it:
        plain = usd(await run(it, hard(12, SYSTEM)))
    assert 0 < shared < plain / 2


async def test_a_prefix_that_few_share_is_sent_plain(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path, pays=pays()) as it:
        bills = await run(it, [*hard(2, SYSTEM), *hard(1, f"Other. {SYSTEM}", first=5)])
        assert not any(b.tokens.cache_write_1h or b.tokens.cache_read for b in bills)
        (row,) = await it.hosted_rows()
        assert (row.purpose, row.lines) == ("lines", 3)


async def test_lines_that_cost_less_live_are_answered_live(
    database: Database, tmp_path: Path
) -> None:
    asked: list[Alike] = []

    def cheaper(alike: Alike) -> bool:
        asked.append(alike)
        return alike.lines > 2

    async with stage(database, tmp_path, pays=pays(), cheaper_live=cheaper) as it:
        batch_id = await it.submit([*hard(12, SYSTEM), *hard(2, f"Other. {SYSTEM}", first=50)])
        async with it.working():
            done = it.answers(await it.ended(batch_id))
        assert Counter(done.values()) == {(200, "live"): 12, (200, "Paris."): 2}
        assert len(it.api.emulator.account.bills()) == 2
    many = max(asked, key=lambda alike: alike.lines)
    assert (many.lines, many.output_tokens) == (12, 30)
    assert many.prefix_tokens > 512 > many.rest_tokens


async def test_a_short_prefix_is_sent_plain(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path, pays=pays()) as it:
        bills = await run(it, hard(12, "You sort questions."))
        assert not any(b.tokens.cache_write_1h or b.tokens.cache_read for b in bills)
        (row,) = await it.hosted_rows()
        assert (row.purpose, row.lines) == ("lines", 12)


async def test_where_the_window_is_short_nobody_waits_for_the_first(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, pays=pays()) as it:
        batch_id = await it.submit(hard(12, SYSTEM), hours=2)
        async with it.working():
            await it.ended(batch_id)
        rows = await it.hosted_rows()
        assert {row.purpose for row in rows} == {"lines"}
        assert sum(row.lines for row in rows) == 12
