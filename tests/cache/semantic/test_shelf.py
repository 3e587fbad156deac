"""The shelf: what is added is found, stays, and goes when it should; on both databases."""

import asyncio
import time
from dataclasses import fields
from decimal import Decimal

import pytest
from sqlalchemy import select

from cache.semantic.purge import Purge
from serving.errors import ConfigError, Overloaded
from serving.storage.database import Database
from serving.storage.schema import semantic_entries
from tests.cache.semantic.entries import HERE, THERE, axis, new, vectors
from tests.cache.semantic.shelves import Clock, kept, rows, shelf_at, texts


async def test_an_entry_is_found_as_it_was_given(database: Database) -> None:
    given = new(
        3, tags=("manual", "v2"), document="manual@7", cost_usd=Decimal("0.00123"), text="Wie? ☕"
    )
    async with shelf_at(database) as shelf:
        await shelf.add(given)
    async with shelf_at(database) as again:
        found = again.find(HERE, axis(3))[0]
        assert found.cosine == pytest.approx(1.0)
        entry = found.entry
        for field in fields(given.question):
            assert getattr(entry, field.name) == getattr(given.question, field.name)
        for name in ("answer", "tier", "model", "simulated", "cost_usd", "request_id"):
            assert getattr(entry, name) == getattr(given, name)
        assert entry.expires_at == pytest.approx(given.expires_at, abs=1e-5)
        assert (entry.hits, entry.right, entry.wrong, entry.last_hit_at) == (0, 0, 0, None)


async def test_the_nearest_come_first_and_none_of_another_scope(database: Database) -> None:
    async with shelf_at(database) as shelf:
        some = vectors(60)
        await asyncio.gather(*(shelf.add(new(i, vector=some[i])) for i in range(50)))
        await kept(shelf, 77, vector=some[0], scope=THERE, tenant="other")
        found = shelf.find(HERE, some[55], 5)
        best = sorted(range(50), key=lambda i: -float(some[i] @ some[55]))[:5]
        assert texts(found) == [f"question {i}" for i in best]
        assert texts(shelf.find(THERE, some[0])) == ["question 77"]
        assert shelf.find("c" * 64, some[0]) == []
        assert await shelf.look(HERE, some[55], 5) == found


async def test_the_same_text_in_the_same_scope_is_replaced(database: Database) -> None:
    async with shelf_at(database) as shelf:
        first = await kept(shelf, 1, text="same", answer=b"old")
        await kept(shelf, 2, text="same", scope=THERE, answer=b"other scope")
        second = await kept(shelf, 3, text="same", answer=b"new")
        assert await rows(database) == 2
        assert [c.entry.answer for c in shelf.find(HERE, axis(1))] == [b"new"]
        exact = shelf.exact(HERE, "same")
        assert exact is not None
        assert exact.id == second.id != first.id
        assert await shelf.evict("req-1") == []
        assert shelf.exact(HERE, "same") is not None
    async with shelf_at(database) as again:
        assert [c.entry.answer for c in again.find(HERE, axis(3))] == [b"new"]


async def test_counts_are_kept_and_written_behind(database: Database) -> None:
    clock = Clock(time.time())
    async with shelf_at(database, clock=clock) as shelf:
        entry = await kept(shelf)
        clock.now += 5
        for _ in range(3):
            shelf.hit(entry.id)
        shelf.judged(entry.id, wrong=True)
        shelf.judged(entry.id, wrong=False)
        shelf.judged(entry.id, wrong=False)
        shelf.hit(12_345)
        shelf.judged(12_345, wrong=True)
        now = shelf.find(HERE, axis(0))[0].entry
        assert (now.hits, now.right, now.wrong, now.last_hit_at) == (3, 2, 1, clock.now)
        await shelf.flush()
        shelf.hit(entry.id)
    async with shelf_at(database) as again:
        then = again.find(HERE, axis(0))[0].entry
        assert (then.hits, then.right, then.wrong) == (4, 2, 1)
        assert then.last_hit_at == pytest.approx(clock.now, abs=1e-5)


async def test_counts_are_written_in_the_background(database: Database) -> None:
    async with shelf_at(database, flush_interval_s=0.01) as shelf:
        entry = await kept(shelf)
        shelf.hit(entry.id)
        async with asyncio.timeout(10):
            while True:
                async with database.read() as connection:
                    query = select(semantic_entries.c.hits)
                    if (await connection.execute(query)).scalar_one() == 1:
                        return
                await asyncio.sleep(0.005)


async def test_what_expires_is_not_found_and_is_deleted(database: Database) -> None:
    clock = Clock(time.time())
    async with shelf_at(database, clock=clock) as shelf:
        async with shelf_at(database, embedder="another", clock=clock) as other:
            await kept(other, 9, expires_at=clock.now + 5)
        await kept(shelf, 1, expires_at=clock.now + 10)
        await kept(shelf, 2, expires_at=clock.now + 20, vector=axis(1))
        assert len(shelf.find(HERE, axis(1))) == 2
        clock.now += 10
        assert texts(shelf.find(HERE, axis(1), 1)) == ["question 2"]
        assert shelf.exact(HERE, "question 1") is None
        assert await shelf.add(new(3, expires_at=clock.now)) is None
        assert await shelf.sweep() == 2
        assert await rows(database) == 1
        assert (shelf.stats().expired, shelf.stats().entries) == (1, 1)


async def test_expired_entries_do_not_hide_live_ones(database: Database) -> None:
    clock = Clock(time.time())
    async with shelf_at(database, clock=clock) as shelf:
        await asyncio.gather(
            *(shelf.add(new(i, vector=axis(0), expires_at=clock.now + 1)) for i in range(40))
        )
        await kept(shelf, 50, vector=vectors(1)[0])
        clock.now += 2
        assert texts(shelf.find(HERE, axis(0), 5)) == ["question 50"]


async def test_a_failed_check_evicts_the_answers_of_its_request(database: Database) -> None:
    async with shelf_at(database) as shelf:
        await kept(shelf, 1)
        await kept(shelf, 2, request_id="req-1")
        await kept(shelf, 3)
        gone = await shelf.evict("req-1")
        assert sorted(entry.text for entry in gone) == ["question 1", "question 2"]
        assert texts(shelf.find(HERE, axis(1), 3)) == ["question 3"]
        assert await rows(database) == 1
        assert await shelf.add(new(4, request_id="req-1")) is None
        assert await rows(database) == 1


async def test_an_answer_that_is_still_being_written_is_evicted_too(database: Database) -> None:
    async with shelf_at(database) as shelf:
        adding = [asyncio.create_task(shelf.add(new(i, request_id="bad"))) for i in range(5)]
        await asyncio.sleep(0)  # they wait to be written now
        assert shelf.stats().waiting == 5
        await shelf.evict("bad")
        assert await asyncio.gather(*adding) == [None] * 5
        assert shelf.stats().entries == 0
    assert await rows(database) == 0


async def test_one_entry_is_dropped(database: Database) -> None:
    async with shelf_at(database) as shelf:
        entry = await kept(shelf, 1)
        assert await shelf.drop(entry.id)
        assert not await shelf.drop(entry.id)
        assert shelf.find(HERE, axis(1)) == []
    assert await rows(database) == 0


async def test_bytes_are_bounded_and_the_least_worth_goes_first(database: Database) -> None:
    clock = Clock(1_000_000)
    async with shelf_at(database, clock=clock, max_bytes=200_000, half_life_s=100) as shelf:
        dear = await kept(shelf, 1_000, cost_usd=Decimal(1), expires_at=2e9)
        often = await kept(shelf, 1_001, expires_at=2e9)
        for _ in range(1_000):
            shelf.hit(often.id)
        for number in range(300):
            await kept(shelf, number, expires_at=2e9)
            assert shelf.stats().bytes <= 200_000
            clock.now += 1
        stats = shelf.stats()
        assert stats.evicted > 50
        assert stats.entries == 302 - stats.evicted
        assert shelf.exact(HERE, dear.text)
        assert shelf.exact(HERE, often.text)
        assert not shelf.exact(HERE, "question 0")
        assert shelf.exact(HERE, "question 299")
        clock.now += 2_000  # twenty half-lives: what it saved is old by now
        for number in range(300, 600):
            await kept(shelf, number, expires_at=2e9)
        assert not shelf.exact(HERE, dear.text)
    assert await rows(database) == stats.entries - (shelf.stats().evicted - stats.evicted) + 300


async def test_opening_keeps_to_the_bound(database: Database) -> None:
    async with shelf_at(database) as shelf:
        for number in range(100):
            await kept(shelf, number)
        assert shelf.stats().bytes > 100_000
    async with shelf_at(database, max_bytes=50_000) as small:
        stats = small.stats()
        assert 0 < stats.entries < 100
        assert stats.bytes <= 50_000
        assert small.exact(HERE, "question 99")
    assert await rows(database) == stats.entries


async def test_another_embedders_entries_are_not_read(database: Database) -> None:
    async with shelf_at(database, embedder="one") as shelf:
        await kept(shelf, 1)
    async with shelf_at(database, embedder="two") as other:
        assert other.stats().entries == 0
        await kept(other, 1)
    async with shelf_at(database, embedder="one") as again:
        assert again.stats().entries == 1


async def test_stats_tell_tenants_apart(database: Database) -> None:
    async with shelf_at(database) as shelf:
        await kept(shelf, 1)
        await kept(shelf, 2, task="billing")
        await kept(shelf, 3, tenant="other", scope=THERE)
        stats = shelf.stats()
        by_task = {("acme", "support"): 1, ("acme", "billing"): 1, ("other", "support"): 1}
        assert stats.by_task == by_task
        assert (stats.entries, stats.scopes, stats.added) == (3, 2, 3)
        assert stats.index_kinds == {"flat": 2}


async def test_too_much_that_waits_is_refused(database: Database) -> None:
    async with shelf_at(database, max_waiting=10) as shelf:
        done = await asyncio.gather(*(shelf.add(new(i)) for i in range(30)), return_exceptions=True)
        refused = [d for d in done if isinstance(d, Overloaded)]
        assert len(refused) == 20
        assert shelf.stats().entries == 10


async def test_a_caller_that_leaves_changes_nothing(database: Database) -> None:
    async with shelf_at(database) as shelf:
        adding = asyncio.create_task(shelf.add(new(1)))
        await asyncio.sleep(0)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
    assert await rows(database) == 1
    assert shelf.exact(HERE, "question 1")


async def test_vectors_in_pgvector_behave_alike(database: Database) -> None:
    if database.dialect != "postgresql":
        with pytest.raises(ConfigError, match="PostgreSQL"):
            async with shelf_at(database, index="pgvector"):
                pass
        return
    some = vectors(60)
    async with shelf_at(database) as plain:
        for number in range(10):
            await kept(plain, number, vector=some[number])
    async with shelf_at(database, index="pgvector") as shelf:
        for number in range(10, 40):
            await kept(shelf, number, vector=some[number])
        await kept(shelf, 99, vector=some[50], scope=THERE)
        await kept(shelf, 0, vector=some[0], answer=b"again")
        found = await shelf.look(HERE, some[50], 5)
        cosines = sorted((float(some[i] @ some[50]) for i in range(40)), reverse=True)[:5]
        assert [c.cosine for c in found] == pytest.approx(cosines, abs=1e-5)
        entry = (await shelf.look(HERE, some[0], 1))[0].entry
        assert entry.answer == b"again"
        await shelf.purge(Purge(tenant="acme", text="question 1"))
        left = await shelf.look(HERE, some[11], 50)
        assert len(left) == 40 - 11
        with pytest.raises(ConfigError, match="look"):
            shelf.find(HERE, some[0])
        assert shelf.stats().index_kinds == {"pgvector": 2}
        assert shelf.stats().index_bytes == 0
    async with shelf_at(database, index="pgvector") as again:
        assert [c.entry.id for c in await again.look(HERE, some[0], 1)] == [entry.id]
