"""A request that is parked for a provider's batch, and goes on with what that gave."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from types import CoroutineType

import pytest
from structlog.testing import capture_logs

from router.audit import Audited
from router.observe import Observe
from router.planner import Planner
from router.spot_check import SpotChecker
from serving.backend import Call
from serving.batches import Parking
from serving.errors import TierRejected, TierTimeout, TierUnavailable
from serving.settings.tasks import SpotCheckBudget
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
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
from tests.router.fakes import Reply, make_call, make_request, make_task, one_task, verdicts


async def test_what_the_gate_rejects_is_parked_for_the_next_tier(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL])
    request = make_request(max_tokens=50, top_k=3)
    parking, call = await park(house.cascade(), make_call(journal=hosted()), request)
    assert parking.tier == "large"
    sent = parking.request
    assert (sent.model, sent.output_limit, sent.logprobs) == ("large-model", 50, None)
    assert await books.rows(*ROW) == [LOCAL]
    assert house.asked() == [1, 0, 0]
    assert call.trace.decisions[-1].stage == "park"


async def test_it_is_the_request_as_the_tiers_own_calls_get_it(books: Books) -> None:
    """What `Fit` changes on the way to the tier stands in it, and what it drops in the trace."""
    house = House.of(books, small=[DOUBTFUL])
    able = replace(house.rungs[1].ability, params=frozenset({"temperature"}))
    house.rungs[1].backend._ability = able  # type: ignore[attr-defined] # a Parkable's
    parking, call = await park(
        house.cascade(make_task(max_tokens=40)),
        make_call(journal=hosted()),
        make_request(seed=7, temperature=0.5),
    )
    assert (parking.request.seed, parking.request.temperature) == (None, 0.5)
    assert parking.request.output_limit == 40
    assert call.trace.dropped == ["seed"]


async def test_a_good_answer_of_the_batch_is_the_answer(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    call = again(parking, before, make_call(), answer(), "large", "top")
    completion = await house.cascade().complete(make_request(), call)
    assert completion.first.content == "it is fine"
    assert house.asked() == [1, 0, 0]
    assert await books.rows(*ROW) == [LOCAL, ("large", "accepted", "passed_ungated", "batch")]
    [small, large] = await books.rows("request_id", "cost", "baseline_cost", "latency_ms", "model")
    assert small[0] == large[0] == "r1"
    assert large[1:] == (Decimal("0.0006"), Decimal("0.0012"), None, "large-model")
    trace = call.trace
    assert (trace.tier, trace.escalations) == ("large", 1)
    assert trace.cost_usd == small[1] + large[1]
    assert trace.baseline_cost_usd == large[2]


async def test_an_answer_that_fails_again_is_parked_for_the_tier_above(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL])
    cascade = house.cascade(WANTS_FINE)
    parking, first = await park(cascade, make_call(journal=hosted()))
    second = again(parking, first, make_call(), answer("it is bad"), "large", "top")
    parking, second = await park(cascade, second)
    assert parking.tier == "top"
    third = again(parking, second, make_call(), answer("all fine"), "large", "top")
    completion = await cascade.complete(make_request(), third)
    assert completion.first.content == "all fine"
    assert await books.rows(*ROW) == [
        (*LOCAL[:2], "validator:words", "live"),
        ("large", "escalated", "validator:words", "batch"),
        ("top", "accepted", "passed_ungated", "batch"),
    ]
    assert (third.trace.escalations, house.asked()) == (2, [1, 0, 0])
    # At the baseline tier too, it is what it would have cost live.
    assert third.trace.baseline_cost_usd == Decimal("0.0012")


async def test_a_batch_that_failed_climbs_as_a_live_failure_does(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL], top=[Reply("fine")])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    result = broken(TierTimeout("its time was over", code="batch_expired"))
    call = again(parking, before, make_call(), result, "large")
    await house.cascade().complete(make_request(), call)
    assert await books.rows(*ROW) == [
        LOCAL,
        ("large", "failed", "batch_expired", "batch"),
        ("top", "accepted", "passed_ungated", "live"),
    ]
    assert call.trace.cost_usd is not None


async def test_a_passing_fault_is_tried_again_in_a_batch_as_often_as_live(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL])
    fault = TierUnavailable("overloaded")
    parking, call = await park(house.cascade(), make_call(journal=hosted()))
    waits = []
    for _ in range(2):
        call = again(parking, call, make_call(), broken(fault), "large", "top")
        parking, call = await park(house.cascade(), call)
        waits.append(parking.tier)
    assert waits == ["large", "top"]  # one retry, which counts as recorded
    assert [r[:2] for r in await books.rows(*ROW)] == [LOCAL[:2], *[("large", "failed")] * 2]


async def test_what_every_tier_refuses_is_the_clients_error(books: Books) -> None:
    house = House.of(books, small=[Reply(error=TierRejected("no"))])
    parking, before = await park(house.cascade(), make_call(journal=hosted("large")))
    call = again(parking, before, make_call(max_tier="large"), broken(TierRejected("too long")))
    call = replace(call, max_tier="large")
    with pytest.raises(Exception, match="too long") as refused:
        await house.cascade().complete(make_request(), call)
    assert refused.type.__name__ == "InvalidRequest"


async def test_without_a_result_it_asks_on_as_the_journal_says_now(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL], large=[Reply("fine")])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    call = again(parking, before, make_call(), None, "large")
    parking, call = await park(house.cascade(), call)
    assert parking.tier == "large"
    await house.cascade().complete(make_request(), again(parking, call, make_call(), None))
    assert house.asked() == [1, 1, 0]
    assert [r[0] for r in await books.rows(*ROW)] == ["small", "large"]


async def test_an_answer_that_came_is_used_however_late_it_is(books: Books) -> None:
    house = House.of(books, small=[DOUBTFUL])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    call = again(parking, before, make_call(within_s=-5), answer())
    assert (await house.cascade().complete(make_request(), call)).first.content == "it is fine"


@pytest.mark.parametrize("damage", [{"version": 2}, {"outcomes": [{"kind": "x"}]}, {"answers": {}}])
async def test_a_journal_of_another_version_is_nothing(
    books: Books, damage: dict[str, object]
) -> None:
    house = House.of(books, small=[DOUBTFUL, Reply("sure")])
    parking, before = await park(house.cascade(), make_call(journal=hosted()))
    assert before.journal is not None
    assert before.journal.past is not None
    before.journal.past = {**before.journal.past, **damage}
    with capture_logs() as logs:
        call = again(parking, before, make_call(), None)
        completion = await house.cascade().complete(make_request(), call)
    assert completion.first.content == "sure"  # the line ran anew
    assert [e["event"] for e in logs] == ["journal_unreadable"]
    assert "hm" not in str(logs)


async def test_a_tier_that_is_asked_for_by_name_is_parked_for_at_once(books: Books) -> None:
    house = House.of(books)
    request = make_request(model="top")
    parking, before = await park(house.cascade(), make_call(journal=hosted()), request)
    assert (parking.tier, await books.rows(*ROW)) == ("top", [])
    call = again(parking, before, make_call(), answer())
    await house.cascade().complete(request, call)
    assert verdicts(call) == [("top", "accepted", "passed_ungated")]


async def test_a_critical_request_is_recorded_once_at_its_end(books: Books) -> None:
    kept: list[tuple[int, Completion | None]] = []

    class Log:
        async def add(self, call: Call, request: ChatRequest, found: Completion | None) -> None:
            kept.append((len(call.trace.attempts), found))

    task = make_task(critical=True, start="top")
    audited = Audited(House.of(books).cascade(task), tasks=one_task(task), log=Log())
    call = make_call(journal=hosted())
    with pytest.raises(Parking) as parking:
        await audited.complete(make_request(), call)
    assert kept == []
    call = again(parking.value, call, make_call(), answer())
    completion = await audited.complete(make_request(), call)
    assert kept == [(1, completion)]


async def test_what_is_only_observed_is_parked_too(books: Books) -> None:
    house = House.of(books)
    observe = Observe(house.rungs, baseline="top", tasks=one_task(WANTS_FINE))
    call = make_call(journal=hosted())
    with pytest.raises(Parking) as parking:
        await observe.complete(make_request(), call)
    assert parking.value.tier == "top"
    call = again(parking.value, call, make_call(), answer("whatever"))
    await observe.complete(make_request(), call)
    assert verdicts(call) == [("top", "accepted", "observed")]


async def test_a_check_of_a_parked_requests_answer_is_live(books: Books) -> None:
    class Log:
        async def add(self, checked: object) -> None:
            pass

    house = House.of(books, small=[DOUBTFUL], top=[Reply("It is fine")])
    checker = SpotChecker(
        house.rungs,
        planner=Planner(house.rungs),
        settings=SpotCheckBudget(),
        log=Log(),
        spent_today=lambda: asyncio.sleep(0, Decimal(0)),
    )
    task = make_task(spot_check={"share": 1})
    parking, before = await park(house.cascade(task), make_call(journal=hosted()))
    call = again(parking, before, make_call(), answer(), "large", "top")
    await house.cascade(task, checker.offer).complete(make_request(), call)
    await checker.close(5)
    assert not checker.dropped
    assert [asked.journal for asked in house.tiers["top"].calls] == [None]
    assert (await books.rows("kind", "tier", "service"))[-1] == ("spot_check", "top", "live")


async def test_a_live_request_goes_straight_through(books: Books) -> None:
    """Without a frame of its own on the way of the answer."""
    house = House.of(books, small=[Reply()])
    backend = house.rungs[0].backend
    work = backend.complete(make_request(), make_call())
    assert isinstance(work, CoroutineType)
    assert "Metered" in work.__qualname__
    await work
