"""Whether its tiers are asked live or in batches, a request comes to the same end."""

import itertools
from decimal import Decimal

import pytest

from router import cascade
from serving.backend import Call
from serving.batches import BatchResult, Parking
from serving.errors import StepwellError, TierRejected, TierTimeout, TierUnavailable
from serving.wire.completion import Choice, Completion, Usage
from tests.router.books import WANTS_FINE, Books, House, again, hosted
from tests.router.fakes import UNSURE, Reply, make_call, make_request

SMALL = [Reply("bad"), Reply("fine, maybe", UNSURE), Reply(error=TierRejected("no"))]
HOSTED = [
    Reply("it is fine"),
    Reply("it is bad"),
    Reply(error=TierRejected("no")),
    Reply(error=TierTimeout("late")),
    Reply(error=TierUnavailable("away")),
]
TRIES = 2  # a tier is asked that often at most: one retry


async def live(house: House, call: Call) -> Completion | StepwellError:
    try:
        return await house.cascade(WANTS_FINE).complete(make_request(), call)
    except StepwellError as error:
        return error


async def parked(
    house: House, call: Call, replies: dict[str, Reply]
) -> tuple[Completion | StepwellError, Call]:
    while True:
        try:
            return await house.cascade(WANTS_FINE).complete(make_request(), call), call
        except StepwellError as error:
            return error, call
        except Parking as parking:
            result = as_batch(replies[parking.tier], parking.request.model)
            call = again(parking, call, make_call(), result, "large", "top")


def as_batch(reply: Reply, model: str) -> BatchResult:
    if isinstance(reply.error, StepwellError):
        return BatchResult("c", "errored", error=reply.error, cost_usd=Decimal(0))
    usage = Usage(10, len(reply.words))
    made = Completion("id", 1, model, (Choice(content=reply.text),), usage)
    return BatchResult("c", "succeeded", made, cost_usd=Decimal(0))


def end(found: Completion | StepwellError, call: Call) -> tuple[object, ...]:
    """All that a client sees of it but the cost."""
    said = found.first.content if isinstance(found, Completion) else (type(found), found.message)
    trace = call.trace
    return said, trace.tier, trace.best_effort, trace.degraded, trace.escalations


async def test_every_turn_that_it_may_take(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "BACKOFF_S", 0.0)
    columns = ("request_id", "tier", "outcome", "reason", "baseline_cost")
    for n, (small, large, top) in enumerate(itertools.product(SMALL, HOSTED, HOSTED)):
        replies = {"small": small, "large": large, "top": top}
        script = {name: [reply] * TRIES for name, reply in replies.items()}
        first = make_call(request_id=f"live{n}")
        expected = end(await live(House.of(books, **script), first), first)
        house = House.of(books, small=[small])
        second = make_call(request_id=f"parked{n}", journal=hosted())
        found, second = await parked(house, second, replies)
        assert end(found, second) == expected, replies
        assert house.asked()[1:] == [0, 0]
        rows = await books.rows(*columns)
        as_live = [r[1:] for r in rows if r[0] == f"live{n}"]
        assert [r[1:] for r in rows if r[0] == f"parked{n}"] == as_live, replies
