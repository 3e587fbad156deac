"""Attempts that are recorded again: by another process, or with another last word."""

from decimal import Decimal

from serving.backend import Attempt, Call
from serving.costs.ledger import Ledger
from serving.storage.database import Database
from tests.serving.costs.fakes import call, ledger_on, opened, rows


async def test_what_has_a_key_is_one_row_however_often_it_is_recorded(database: Database) -> None:
    for tokens in (1, 2):
        ledger = ledger_on(database)  # each time a process of its own
        attempt = opened(ledger, key="k")
        attempt.ttft_ms = tokens
        attempt.judge("accepted", "passed")
        await ledger.flush()
    (row,) = await rows(database)
    assert (row["id"], row["ttft_ms"]) == ("att_k", 2)


async def test_a_later_last_word_replaces_the_row_and_its_baseline(database: Database) -> None:
    heard: list[str] = []

    def observe(attempt: Attempt, _call: Call) -> None:
        heard.append(attempt.outcome)

    first = ledger_on(database, observers=[observe])
    asked = call()
    attempt = opened(first, asked)
    attempt.judge("escalated", "gate")
    await first.flush()
    assert (await rows(database))[0]["baseline_cost"] is None
    second = ledger_on(database, observers=[observe])
    attempt.sink = None  # as a journal brings it back
    second.revise(attempt, asked)
    attempt.judge("best_effort", "no_tier_passed")
    await second.flush()
    (row,) = await rows(database)
    assert (row["outcome"], row["reason"]) == ("best_effort", "no_tier_passed")
    assert row["baseline_cost"] == asked.trace.baseline_cost_usd == Decimal("0.008")
    assert heard == ["escalated"]


async def test_a_revision_that_nobody_judges_leaves_the_row(
    ledger: Ledger, database: Database
) -> None:
    asked = call()
    attempt = opened(ledger, asked)
    attempt.judge("escalated", "gate")
    ledger.revise(attempt, asked)
    await ledger.close()
    assert [r["outcome"] for r in await rows(database)] == ["escalated"]


async def test_an_attempt_is_served_as_its_call_says(ledger: Ledger, database: Database) -> None:
    for service in ("live", "flex"):
        opened(ledger, call(service=service)).judge("accepted", "passed")
    await ledger.flush()
    assert [r["service"] for r in await rows(database)] == ["live", "flex"]
