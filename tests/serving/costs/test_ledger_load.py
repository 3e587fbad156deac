"""The ledger under load, and while its database is down."""

import asyncio
import random
import time

import pytest
from sqlalchemy import func, select

from serving.backend import Attempt
from serving.costs.ledger import Ledger
from serving.errors import Overloaded, TierUnavailable
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.wire.completion import Usage
from tests.serving.costs.fakes import CHEAP, call, ledger_on, opened, rows
from tests.serving.storage.rows import break_down, repair


async def test_an_intent_that_cannot_be_written_is_the_tiers_failure(
    database: Database, ledger: Ledger
) -> None:
    await break_down(database)
    asked = call()
    attempt = opened(ledger, asked, settled=False)
    with pytest.raises(TierUnavailable) as caught:
        await ledger.intent(attempt, asked)
    assert caught.value.code == "ledger_unavailable"
    assert caught.value.retryable
    await repair(database)


async def test_an_intent_waits_no_longer_than_the_request(
    database: Database, ledger: Ledger
) -> None:
    asked = call(deadline=time.monotonic() + 0.05)
    attempt = opened(ledger, asked, settled=False)
    async with database.begin() as connection:  # the writer's lock is taken
        if database.dialect == "postgresql":
            await connection.exec_driver_sql("LOCK TABLE attempts")
        started = time.monotonic()
        with pytest.raises(TierUnavailable):
            await ledger.intent(attempt, asked)
        assert time.monotonic() - started < 2


async def test_a_full_buffer_is_flushed_by_who_fills_it(database: Database) -> None:
    ledger = ledger_on(database, max_buffered_rows=3)  # not started: nobody else flushes
    for i in range(11):
        await ledger.admit()
        opened(ledger, call(f"req_{i}")).judge("accepted", "")
    await ledger.close()
    assert len(await rows(database)) == 11


async def test_work_is_refused_rather_than_left_unrecorded(database: Database) -> None:
    ledger = ledger_on(database, max_buffered_rows=3)
    await break_down(database)
    for _ in range(3):
        opened(ledger).judge("accepted", "")
    with pytest.raises(Overloaded) as caught:
        await ledger.admit()
    assert caught.value.retry_after == 1.0
    for _ in range(3):  # callers that cannot wait have some room yet
        opened(ledger).judge("accepted", "")
    with pytest.raises(Overloaded):
        opened(ledger)
    await repair(database)
    await ledger.flush()
    assert len(await rows(database)) == 6
    await ledger.admit()
    await ledger.close()


async def test_sums_are_exact_under_concurrency(database: Database) -> None:
    """Attempts, tokens and cost in the database are those of the attempts themselves."""
    ledger = ledger_on(database, flush_interval_s=0.01, max_buffered_rows=100)
    await ledger.start()
    made: list[Attempt] = []
    rng = random.Random(7)

    async def work(worker: int) -> None:
        for step in range(60):
            await ledger.admit()
            asked = call(f"req_{worker}_{step}")
            attempt = opened(ledger, asked, settled=False)
            if worker % 4 == 0:
                await ledger.intent(attempt, asked)
            await asyncio.sleep(rng.random() / 500)
            usage = Usage(rng.randrange(100_000), rng.randrange(10_000))
            attempt.usage, attempt.cost_usd = usage, CHEAP.cost(usage)
            if step % 2:
                attempt.judge("accepted", "")
            ledger.settle(attempt)
            attempt.judge("escalated", "gate")
            made.append(attempt)

    await asyncio.gather(*(work(i) for i in range(25)))
    await ledger.close()
    a = attempts.c
    query = select(
        func.count(), func.sum(a.completion_tokens), func.sum(a.cost), func.sum(a.baseline_cost)
    )
    async with database.read() as connection:
        found = tuple((await connection.execute(query)).one())
    assert found == (
        1_500,
        sum(attempt.usage.completion_tokens for attempt in made),
        sum(attempt.cost_usd or 0 for attempt in made),
        sum(attempt.baseline_cost_usd or 0 for attempt in made),
    )
