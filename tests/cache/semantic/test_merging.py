"""Identical requests at the same time: one answer is made, as long as anyone waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.semantic.flights import LOST_S, Flights
from serving.backend import Call
from serving.wire.completion import Choice, Completion
from tests.cache.fakes import text_of, unmade
from tests.cache.semantic.world import AGAIN, ASKED, Gated, World, chat, world
from tests.cache.test_entries import Clock


@asynccontextmanager
async def gated(**cascade: Any) -> AsyncIterator[tuple[World, Gated]]:
    async with world(kind=Gated, **cascade) as w:
        assert isinstance(w.inner, Gated)
        yield w, w.inner


def complete(w: World, text: str = ASKED, **call: str) -> tuple[asyncio.Task[Completion], Call]:
    made = w.call(**call)
    return asyncio.create_task(w.cached.complete(chat(text), made)), made


async def following(w: World, count: int) -> None:
    """Waits until so many follow the one flight that there is."""
    flights = w.memory._flights
    async with asyncio.timeout(5):
        while sum(f.followers for f in flights._flying.values()) != count:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.001)


async def test_one_answer_for_all_that_ask_the_same() -> None:
    async with gated() as (w, inner):
        tasks = [complete(w) for _ in range(5)]
        stream = asyncio.create_task(w.stream(ASKED))
        await following(w, 5)
        inner.gate.set()
        answers = [await task for task, _ in tasks]
        chunks, streamed = await stream
        assert inner.asked == 1
        assert len({answer.id for answer in answers}) == 5
        assert {unmade(answer) for answer in answers} == {unmade(answers[0])}
        assert text_of(chunks) == answers[0].first.content
        states = [call.trace.cache for _, call in tasks]
        assert sorted([*states, streamed.trace.cache]) == ["exact"] * 5 + ["miss"]
        merged = [row for row in w.ledger.rows if row.kind == "cache_hit"]
        assert [row.reason for row in merged] == ["merged"] * 5
        assert not sum(row.cost_usd or 0 for row in merged)


async def test_others_do_not_wait() -> None:
    async with gated() as (w, inner):
        first, _ = complete(w)
        other, _ = complete(w, AGAIN)
        stranger, _ = complete(w, tenant="other")
        await inner.begun.wait()
        inner.gate.set()
        await asyncio.gather(first, other, stranger)
        assert inner.asked == 3


async def test_who_made_it_may_leave_while_others_wait() -> None:
    async with gated() as (w, inner):
        maker, _ = complete(w)
        await inner.begun.wait()
        follower, call = complete(w)
        await following(w, 1)
        maker.cancel()
        await asyncio.wait((maker,))
        assert maker.cancelled()
        inner.gate.set()
        assert (await follower).first.content == "Rayleigh scattering."
        assert (inner.asked, inner.cancelled, call.trace.cache) == (1, 0, "exact")


async def test_a_stream_goes_on_for_those_who_wait() -> None:
    async with gated() as (w, inner):
        chunks = w.cached.stream(chat(ASKED, stream=True), w.call())
        await anext(chunks)
        follower, _ = complete(w)
        await following(w, 1)
        await chunks.aclose()
        inner.gate.set()
        assert (await follower).first.content == "Rayleigh scattering."
        assert (inner.asked, inner.cancelled) == (1, 0)


async def test_it_ends_when_all_have_left() -> None:
    async with gated() as (w, inner):
        maker, _ = complete(w)
        await inner.begun.wait()
        followers = [complete(w)[0] for _ in range(2)]
        await following(w, 2)
        for task in (maker, *followers):
            task.cancel()
        await asyncio.wait((maker, *followers))
        await w.settled()
        assert inner.cancelled == 1
        assert not len(w.memory._flights)


async def test_it_ends_at_once_where_nobody_else_waits() -> None:
    async with gated() as (w, inner):
        maker, _ = complete(w)
        await inner.begun.wait()
        maker.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait((maker,))
            await w.settled()
        assert inner.cancelled == 1


async def test_who_follows_a_failure_asks_for_himself() -> None:
    failed = False

    def fail_once(_: Call) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise ConnectionError("gone")

    async with gated(mark=fail_once) as (w, inner):
        maker, _ = complete(w)
        await inner.begun.wait()
        follower, call = complete(w)
        await following(w, 1)
        inner.gate.set()
        with pytest.raises(ConnectionError):
            await maker
        assert (await follower).first.content == "Rayleigh scattering."
        assert (inner.asked, call.trace.cache) == (2, "miss")


async def test_an_answer_that_may_not_be_kept_is_not_shared() -> None:
    refused = (Choice(content="no", refusal="no"),)
    async with gated(choices=refused) as (w, inner):
        maker, _ = complete(w)
        await inner.begun.wait()
        follower, _ = complete(w)
        await following(w, 1)
        inner.gate.set()
        await asyncio.gather(maker, follower)
        assert inner.asked == 2


async def test_a_follower_waits_no_longer_than_it_may() -> None:
    async with gated() as (w, inner):
        maker, _ = complete(w)
        await inner.begun.wait()
        call = w.call()
        late = Call(request_id="late", tenant="acme", deadline=call.deadline - 59.95, task="faq")
        follower = asyncio.create_task(w.cached.complete(chat(ASKED), late))
        await following(w, 1)
        await following(w, 0)  # it makes the answer itself, or fails as without a cache
        inner.gate.set()
        await asyncio.gather(maker, follower)
        assert inner.asked == 2


async def test_a_maker_that_is_gone_is_replaced() -> None:
    clock = Clock()
    flights = Flights(clock)
    first, mine = flights.join("k")
    assert mine
    assert flights.join("k") == (first, False)
    clock.now += LOST_S / 2
    flights.tend(first)
    clock.now += LOST_S / 2 + 1
    assert flights.flying("k") == first
    clock.now += LOST_S
    second, mine = flights.join("k")
    assert mine
    assert second != first
    assert await flights.follow(first) is None
    flights.land(second, b"answer")
    assert await flights.follow(second) == b"answer"
    assert (flights.tend(second), len(flights)) == (0, 0)


async def test_makers_that_died_alone_are_swept() -> None:
    clock = Clock()
    flights = Flights(clock)
    for place in range(1_000):
        flights.join(f"k{place}")
        clock.now += 0.1
    assert len(flights) < 400
