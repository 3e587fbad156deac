"""Requests that are parked for a batch, and the semantic cache."""

import asyncio
import time

import pytest

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.semantic.memory import Offered
from serving.backend import Call, Trace
from serving.batches import Parking
from serving.wire.completion import Completion
from tests.cache.fakes import Parks, parked, resumed
from tests.cache.semantic.test_merging import following
from tests.cache.semantic.world import AGAIN, ASKED, World, chat, task, world


def begin(w: World, call: Call) -> asyncio.Task[Completion]:
    return asyncio.create_task(w.cached.complete(chat(ASKED), call))


async def test_each_of_those_that_ask_the_same_is_parked_by_itself() -> None:
    async with world(kind=Parks) as w:
        assert isinstance(w.inner, Parks)
        calls = [w.call(journal=parked()) for _ in range(4)]
        tasks = [begin(w, call) for call in calls]
        await following(w, 3)
        w.inner.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(f) for f in found] == [Parking] * 4
        assert len({id(f) for f in found}) == 4
        assert [[a.outcome for a in c.trace.attempts] for c in calls] == [["escalated"]] * 4
        await w.settled()
        assert w.memory.shelf.stats().entries == 0


async def test_who_waits_for_an_answer_does_not_get_parked() -> None:
    """A live request that follows a line of a batch makes its answer itself."""
    async with world(kind=Parks) as w:
        assert isinstance(w.inner, Parks)
        line = begin(w, w.call(journal=parked()))
        await w.inner.begun.wait()
        live = begin(w, w.call())
        await following(w, 1)
        w.inner.gate.set()
        assert (await live).first.content == "Rayleigh scattering."
        with pytest.raises(Parking):
            await line


async def test_the_answer_of_a_batch_is_kept_as_a_live_one() -> None:
    async with world(kind=Parks) as w:
        assert isinstance(w.inner, Parks)
        w.inner.gate.set()
        _, made = await w.ask(ASKED, journal=resumed())
        assert made.trace.cache == "miss"
        _, hit = await w.ask(AGAIN)
        assert (hit.trace.cache, w.inner.asked) == ("semantic", 1)


async def test_what_is_paid_for_is_not_thrown_away_for_a_hit() -> None:
    async with world(kind=Parks) as w:
        assert isinstance(w.inner, Parks)
        w.inner.gate.set()
        await w.ask(ASKED)
        _, call = await w.ask(AGAIN, journal=resumed())
        assert (call.trace.cache, w.inner.asked) == ("miss", 2)
        _, parks = await w.ask(AGAIN, journal=parked())
        assert parks.trace.cache in ("semantic", "exact")


async def test_what_was_purged_while_it_was_parked_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(kind=Parks) as w:
        assert isinstance(w.inner, Parks)
        w.inner.gate.set()
        asked = Trace(started=time.monotonic() - 3_600)
        offered = []
        offer = w.memory.offer

        async def watch(what: Offered) -> None:
            offered.append(what.asked_at)
            await offer(what)

        monkeypatch.setattr(w.memory, "offer", watch)
        await w.ask(ASKED, journal=resumed(), trace=asked)
        assert offered[0] == pytest.approx(time.time() - 3_600, abs=60)


async def test_a_check_of_a_hit_takes_no_journal_along() -> None:
    async with world(task(audit=1.0), kind=Parks) as w:
        assert isinstance(w.inner, Parks)
        w.inner.gate.set()
        await w.ask(ASKED)
        await w.ask(AGAIN, journal=parked())
        await w.audits.close(5)
        assert [r.kind for r in w.ledger.rows].count("cache_check") == 2  # both its attempts
        assert w.inner.asked == 2
