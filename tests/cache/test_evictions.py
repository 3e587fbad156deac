"""Evictions across gateways: what one finds wrong, the others stop answering."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from cache.evictions import MAX_PENDING, SharedEvictions
from cache.exact import ExactCached
from serving.backend import Call
from serving.settings.root import CacheSettings
from serving.storage.database import Database
from serving.storage.epochs import Changes, EpochStore
from tests.cache.fakes import Cascade, RecordingLedger
from tests.cache.test_entries import Clock
from tests.cache.test_exact import TASKS, ask

QUICK = CacheSettings(l1_poll_s=0.05, l1_ttl_s=60)


class Table:
    """A store in memory, shared by gateways; `down` is an outage, `lost` what came meanwhile."""

    def __init__(self) -> None:
        self.evicted: list[str] = []
        self.lost: list[str] = []
        self.down = False
        self.looks = 0

    async def bump(self, scopes: list[str]) -> None:
        await asyncio.sleep(0)
        if self.down:
            self.lost += scopes
            raise ConnectionError("away")
        self.evicted += scopes

    async def changes(self, since: int | None) -> Changes:
        self.looks += 1
        if self.down:
            raise ConnectionError("away")
        newest = len(self.evicted)
        return Changes(newest, tuple(self.evicted[newest if since is None else since :]), True)


class Gateway:
    """A cache with its own entries and its own clock, over the same tiers as the others."""

    def __init__(self, name: str, evictions: SharedEvictions, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self.evictions = evictions
        ledger = RecordingLedger()
        self.inner = Cascade(ledger)
        self.cached = ExactCached(
            self.inner,
            tasks=lambda task: TASKS[task or "chat"],
            ledger=ledger,
            settings=QUICK,
            evictions=evictions,
            clock=clock,
        )
        self._requests = 0

    async def ask(self, what: str = "Why is the sky blue?", task: str = "faq") -> Call:
        self._requests += 1
        call = Call(f"{self.name}{self._requests}", "acme", time.monotonic() + 60, task=task)
        await self.cached.complete(ask(what), call)
        return call


@asynccontextmanager
async def gateway(
    name: str, store: Table | EpochStore, *, now: float = 100.0, settings: CacheSettings = QUICK
) -> AsyncIterator[Gateway]:
    clock = Clock()
    clock.now = now
    evictions = SharedEvictions(store, settings, clock=clock)
    await evictions.start()
    yield Gateway(name, evictions, clock)
    await evictions.close()


async def until(
    condition: Callable[[], Awaitable[bool]], within: float = 5.0, every: float = 0.005
) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < within
        await asyncio.sleep(every)
    return time.monotonic() - began


async def test_an_eviction_reaches_the_other_gateway(database_url: str) -> None:
    """Over a real database, with clocks a century apart: none is compared with another."""
    ours, theirs = await Database.open(database_url), await Database.open(database_url)
    async with (
        gateway("a", EpochStore(ours)) as a,
        gateway("b", EpochStore(theirs), now=3e9) as b,
    ):
        first = await a.ask()
        assert [(await g.ask()).trace.cache for g in (a, b, b)] == ["exact", "miss", "exact"]
        await b.ask("another question")
        assert a.cached.evict(first.request_id)

        async def asked_anew() -> bool:
            return (await b.ask()).trace.cache == "miss"

        assert await until(asked_anew) < 1.0
        assert (await b.ask("another question")).trace.cache == "exact"
        assert (await b.ask()).trace.cache == "exact"
        assert b.inner.asked == 3
    await ours.close()
    await theirs.close()


async def test_it_takes_about_one_poll(database_url: str) -> None:
    database = await Database.open(database_url)
    waits = []
    async with gateway("a", EpochStore(database)) as a, gateway("b", EpochStore(database)) as b:
        for i in range(5):
            made = await a.ask(f"question {i}")
            await b.ask(f"question {i}")
            look = b.evictions.look
            a.cached.evict(made.request_id)
            key = next(iter(b.cached._entries._kept))

            async def overtaken(key: str = key, look: int = look) -> bool:
                return b.evictions.overtaken(key, look)

            waits.append(await until(overtaken, every=0.002))
            b.cached._entries.drop(key)
    await database.close()
    assert sorted(waits)[2] < 4 * QUICK.l1_poll_s


async def test_the_database_learns_no_names(database_url: str) -> None:
    database = await Database.open(database_url)
    async with gateway("a", EpochStore(database)) as a:
        made = await a.ask()
        a.cached.evict(made.request_id)
    async with database.read() as connection:
        rows = (await connection.execute(text("SELECT scope FROM cache_epochs"))).scalars().all()
    await database.close()
    digest = next(scope for scope in rows if scope)
    assert len(digest) == 64
    assert int(digest, 16)


async def test_a_crash_between_evicting_and_telling() -> None:
    """The other gateway was never told, so the short time to live is what bounds it."""
    table, silent = Table(), Table()
    async with gateway("a", silent) as a, gateway("b", table) as b:
        made = await a.ask()
        await b.ask()
        a.cached.evict(made.request_id)
        b.clock.now += 59.9
        await until_looked(b)
        assert (await b.ask()).trace.cache == "exact"
        b.clock.now += 0.1
        await until_looked(b)
        assert (await b.ask()).trace.cache == "miss"


async def until_looked(one: Gateway) -> None:
    look = one.evictions.look

    async def looked() -> bool:
        return one.evictions.look > look + 1  # one that began after this was called

    await until(looked)


async def test_a_gateway_that_cannot_look_stops_answering() -> None:
    table = Table()
    async with gateway("b", table) as b:
        await b.ask()
        table.down = True
        b.clock.now += 59
        assert (await b.ask()).trace.cache == "exact"
        b.clock.now += 1
        call = await b.ask()
        assert call.trace.cache == "off"
        assert call.trace.decisions[-1].reason == "what other gateways evicted is not known"
        table.down = False
        await until_looked(b)
        assert [(await b.ask()).trace.cache for _ in range(2)] == ["miss", "exact"]


async def test_a_gateway_starts_while_the_database_is_away() -> None:
    table = Table()
    table.down = True
    async with gateway("b", table) as b:
        assert (await b.ask()).trace.cache == "off"
        table.down = False
        await until_looked(b)
        assert (await b.ask()).trace.cache == "miss"


async def test_evictions_are_told_when_the_database_is_back() -> None:
    table = Table()
    async with gateway("a", table) as a, gateway("b", table) as b:
        made = await a.ask()
        await b.ask()
        table.down = True
        a.cached.evict(made.request_id)

        async def tried() -> bool:
            return bool(table.lost)

        await until(tried)
        table.down = False

        async def missed() -> bool:
            return (await b.ask()).trace.cache == "miss"

        await until(missed)


async def test_what_was_not_told_in_time_needs_no_telling() -> None:
    """Every entry that it could concern has outlived its time."""
    table = Table()
    async with gateway("a", table) as a:
        made = await a.ask()
        table.down = True
        a.cached.evict(made.request_id)
        a.clock.now += 61
        table.down = False
        await until_looked(a)
        assert table.evicted == []


async def test_an_answer_that_has_left_the_cache_is_still_evicted_elsewhere() -> None:
    """A spot check may end after the entry's short life here."""
    table = Table()
    async with gateway("a", table) as a, gateway("b", table) as b:
        made = await a.ask(task="news")
        a.clock.now += 6
        await b.ask(task="news")
        assert not a.cached.evict(made.request_id)
        await until_looked(b)
        assert (await b.ask(task="news")).trace.cache == "miss"


async def test_an_answer_found_wrong_on_its_way_in() -> None:
    table = Table()
    async with gateway("a", table) as a, gateway("b", table) as b:
        await b.ask()
        a.cached.evict("a1")
        await a.ask()
        await until_looked(b)
        assert (await b.ask()).trace.cache == "miss"
        assert (await a.ask()).trace.cache == "miss"


async def test_an_answer_under_way_during_an_eviction_is_not_kept() -> None:
    table = Table()
    async with gateway("a", table) as a, gateway("b", table) as b:
        made = await a.ask()
        answer, under_way, go_on = b.inner.complete, asyncio.Event(), asyncio.Event()

        async def slow(*args: object) -> object:
            under_way.set()
            await go_on.wait()
            return await answer(*args)  # type: ignore[arg-type]  # handed through as they are

        b.inner.complete = slow  # type: ignore[method-assign,assignment]  # holds one answer up
        task = asyncio.create_task(b.ask())
        await under_way.wait()
        a.cached.evict(made.request_id)
        await until_looked(b)
        go_on.set()
        await task
        assert [(await b.ask()).trace.cache for _ in range(2)] == ["miss", "exact"]


async def test_the_task_may_set_a_shorter_time_but_no_longer_one() -> None:
    table = Table()
    async with gateway("a", table, settings=QUICK) as a:
        await a.ask(task="news")
        await a.ask()
        a.clock.now += 5
        await until_looked(a)
        assert (await a.ask(task="news")).trace.cache == "miss"
        assert (await a.ask()).trace.cache == "exact"


async def test_what_waits_to_be_told_is_bounded() -> None:
    table = Table()
    table.down = True
    async with gateway("a", table) as a:
        for i in range(MAX_PENDING + 100):
            a.evictions.made(f"r{i}", f"k{i}")
            a.evictions.evict(f"r{i}")
        assert len(a.evictions._pending) == MAX_PENDING


async def test_closing_tells_what_is_left() -> None:
    table = Table()
    async with gateway("a", table, settings=CacheSettings(l1_poll_s=30)) as a:
        made = await a.ask()
        a.cached.evict(made.request_id)
    assert len(table.evicted) == 1


@pytest.mark.parametrize(("poll", "ttl"), [(31, 60), (5, 1)])
def test_polls_are_shorter_than_lives(poll: float, ttl: float) -> None:
    with pytest.raises(ValueError, match="half of l1_ttl_s"):
        CacheSettings(l1_poll_s=poll, l1_ttl_s=ttl)
