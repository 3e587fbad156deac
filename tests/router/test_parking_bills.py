"""What a request that was parked cost: one row for each thing that cost money, whatever happens."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from serving.errors import NoTierAnswered, TierRejected, TierTimeout, TierUnavailable
from serving.wire.completion import Usage
from tests.router.books import (
    DOUBTFUL,
    LOCAL,
    ROW,
    WANTS_FINE,
    Books,
    House,
    again,
    answer,
    broken,
    hosted,
    park,
)
from tests.router.fakes import Reply, make_call, make_request


async def test_the_best_of_the_failing_answers_may_be_one_from_before(books: Books) -> None:
    """Its row gets another last word, and nobody hears of it twice."""
    house = House.of(books, small=[Reply("fine but unsure", DOUBTFUL.logprob)])
    cascade = house.cascade(WANTS_FINE)
    parking, first = await park(cascade, make_call(journal=hosted()))
    second = again(parking, first, make_call(), answer("bad"), "top")
    parking, second = await park(cascade, second)
    third = again(parking, second, make_call(), broken(TierRejected("no")))
    completion = await cascade.complete(make_request(), third)
    assert completion.first.content == "fine but unsure"
    assert third.trace.best_effort is not None
    rows = await books.rows(*ROW, "baseline_cost")
    assert [r[:2] for r in rows] == [
        ("small", "best_effort"),
        ("large", "escalated"),
        ("top", "failed"),
    ]
    assert rows[0][4] == third.trace.baseline_cost_usd
    assert rows[0][4] is not None
    heard = [("small", "escalated"), ("large", "escalated"), ("top", "failed")]
    assert books.heard == heard


async def test_a_result_that_is_taken_up_again_after_a_crash_is_billed_once(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    for _ in range(2):
        call = again(parking, before, make_call(), answer())
        await house.cascade().complete(make_request(), call)
    assert await books.rows(*ROW) == [LOCAL, ("large", "accepted", "passed_ungated", "batch")]


async def test_two_batches_of_one_request_at_one_tier_are_two_rows(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL])
    fault = broken(TierUnavailable("cut short"), cost=None)
    parking, first = await park(house.cascade(), make_call(journal=hosted()))
    parking, second = await park(
        house.cascade(), again(parking, first, make_call(), fault, "large")
    )
    await house.cascade().complete(make_request(), again(parking, second, make_call(), answer()))
    rows = await books.rows("tier", "outcome", "cost")
    assert [r[:2] for r in rows[1:]] == [("large", "failed"), ("large", "accepted")]
    assert rows[1][2] is None  # billed, and nobody knows how much


async def test_an_answer_without_usage_is_billed_at_most(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    call = again(parking, before, make_call(), answer(usage=Usage()))
    assert (await house.cascade().complete(make_request(), call)).usage.estimated
    rows = await books.rows("usage_estimated", "cost", "prompt_tokens")
    assert rows[-1][0]
    assert rows[-1][1] > 0


async def test_a_tier_that_is_no_longer_allowed_is_paid_and_not_used(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    call = replace(again(parking, before, make_call(), answer()), max_tier="small")
    completion = await house.cascade().complete(make_request(), call)
    assert completion.first.content == "hm"
    assert [r[:3] for r in await books.rows(*ROW)] == [
        ("small", "accepted", "passed_ungated"),  # the last tier that is left has no gate
        ("large", "escalated", "not_planned"),
    ]


async def test_a_tier_that_is_gone_is_told(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL, Reply("sure")])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    call = again(parking, before, make_call(), answer())
    assert call.journal is not None
    call.journal.past = None
    house.rungs.pop(1)
    with capture_logs() as logs:
        await house.cascade().complete(make_request(), call)
    assert [(e["event"], e["cost_usd"]) for e in logs] == [
        ("batch_result_of_unknown_tier", "0.000600000000")
    ]


async def test_a_failure_behind_a_parked_answer_closes_every_attempt(books: Books) -> None:
    house = House.of(books, small=[Reply(error=TierTimeout("slow"))])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    call = again(parking, before, make_call(), broken(TierTimeout("late")), "top")
    parking, call = await park(house.cascade(), call)
    call = again(parking, call, make_call(), broken(TierUnavailable("away")), "x")
    house.tiers["top"]._replies += [Reply(error=TierUnavailable("away"))]
    with pytest.raises(NoTierAnswered):
        await house.cascade().complete(make_request(), call)
    assert {r[1] for r in await books.rows(*ROW)} == {"failed"}
    assert all(a.outcome == "failed" for a in call.trace.attempts)
