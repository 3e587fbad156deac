"""The drivers over the real meter and ledger: one row per attempt, with the right last word."""

import asyncio

import pytest

from router.live import CascadeBackend
from router.outcomes import Checked
from router.planner import Planner
from router.rung import Rung
from router.spot_check import SpotChecker
from serving.backend import Ability
from serving.costs.metered import Metered
from serving.settings.tasks import SpotCheckBudget
from tests.router.books import Books
from tests.router.fakes import (
    GATE,
    LONG,
    UNSURE,
    Reply,
    Scripted,
    flat_price,
    make_call,
    make_request,
    make_task,
    one_task,
    read,
    text_of,
    tier_settings,
)


def rungs(books: Books, **tiers: list[Reply]) -> list[Rung]:
    """Metered tiers with short deadlines, all but the last one gated."""
    found = []
    for number, (name, replies) in enumerate(tiers.items()):
        last = number == len(tiers) - 1
        settings = tier_settings(name, gate=None if last else GATE, deadline_s=0.1)
        inner, price = Scripted(settings, replies, records=False), flat_price(1)
        backend = Metered(inner, tier=settings, price=price, ledger=books.ledger)
        found.append(Rung(settings, backend, Ability(logprobs=not last), price))
    return found


def cascade(books: Books, **tiers: list[Reply]) -> CascadeBackend:
    return CascadeBackend(rungs(books, **tiers), tasks=one_task(make_task()))


async def test_each_attempt_becomes_one_row_with_its_last_word(books: Books) -> None:
    backend = cascade(books, small=[Reply("hm", UNSURE)], large=[Reply("fine")])
    call = make_call()
    await backend.complete(make_request(), call)
    found = await books.rows("tier", "outcome", "reason", "completion_tokens", "cost")
    [small, large] = found
    assert small[:4] == ("small", "escalated", "gate", 1)
    assert large[:4] == ("large", "accepted", "passed_ungated", 1)
    assert call.trace.cost_usd == small[4] + large[4]
    baseline = await books.rows("baseline_cost")
    assert [b is not None for (b,) in baseline] == [False, True]


async def test_a_timed_out_attempt_is_a_failure_with_its_error(books: Books) -> None:
    for streamed in (False, True):
        backend = cascade(books, small=[Reply(LONG, hang=True)], large=[Reply("fine")])
        if streamed:
            await read(backend.stream(make_request(stream=True), make_call()))
        else:
            await backend.complete(make_request(), make_call())
    found = await books.rows("tier", "outcome", "reason", "error", "usage_estimated")
    assert [r for r in found if r[0] == "small"] == [
        ("small", "failed", "tier_timeout", "tier_timeout", True)
    ] * 2


async def test_a_stream_that_the_gate_cut_short_is_an_escalation(books: Books) -> None:
    backend = cascade(books, small=[Reply(LONG, UNSURE)], large=[Reply("fine")])
    chunks = await read(backend.stream(make_request(stream=True), make_call()))
    assert text_of(chunks) == "fine"
    [small, _] = await books.rows("tier", "outcome", "reason", "usage_estimated")
    assert small == ("small", "escalated", "gate_prefix", True)


async def test_the_usage_chunk_comes_when_every_row_is_settled(books: Books) -> None:
    backend = cascade(books, small=[Reply(LONG)], large=[])
    call = make_call()
    async for chunk in backend.stream(make_request(stream=True), call):
        if chunk.usage is not None:
            [attempt] = call.trace.attempts
            assert (attempt.outcome, attempt.cost_usd) == ("accepted", call.trace.cost_usd)
            assert attempt.baseline_cost_usd is not None
    assert len(await books.rows("id")) == 1


async def test_a_client_that_leaves_is_cancelled_not_failed(books: Books) -> None:
    backend = cascade(books, small=[Reply(LONG)], large=[])
    chunks = backend.stream(make_request(stream=True), make_call())
    await anext(chunks)
    await chunks.aclose()
    waiting = cascade(books, small=[Reply(hang=True)], large=[])
    running = asyncio.create_task(waiting.complete(make_request(), make_call()))
    await asyncio.sleep(0.03)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await books.rows("outcome", "reason") == [("cancelled", "client_closed")] * 2


async def test_a_spot_check_is_a_row_of_its_own(books: Books) -> None:
    class Log:
        async def add(self, checked: Checked) -> None:
            assert checked.agreed

    ladder = rungs(books, small=[Reply("yes")], top=[Reply("Yes")])
    settings = SpotCheckBudget()
    checker = SpotChecker(
        ladder,
        planner=Planner(ladder),
        settings=settings,
        log=Log(),
        spent_today=lambda: asyncio.sleep(0, settings.max_usd_per_day * 0),
    )
    tasks = one_task(make_task(spot_check={"share": 1}))
    backend = CascadeBackend(ladder, tasks=tasks, on_accepted=checker.offer)
    await backend.complete(make_request(), make_call())
    await checker.close(5)
    assert not checker.dropped
    assert await books.rows("kind", "tier", "outcome", "reason") == [
        ("attempt", "small", "accepted", "passed"),
        ("spot_check", "top", "compared", "agreed"),
    ]
