"""What other processes say is heard, and what was learned is written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from prometheus_client import CollectorRegistry

from cache.evictions import SharedEvictions
from cache.semantic.purge import Purge
from cache.semantic.settings import ShelfSettings
from cache.semantic.shelf import Shelf
from cache.semantic.upkeep import Upkeep
from serving.settings.root import CacheSettings
from serving.storage.database import Database
from serving.storage.epochs import EpochStore
from serving.storage.semantic import SemanticOrders
from serving.telemetry.semantic import SemanticMetrics
from tests.cache.semantic.world import AGAIN, ASKED, DIMENSIONS, World, world


@asynccontextmanager
async def kept_up(url: str) -> AsyncIterator[tuple[World, Upkeep, Database, list[str]]]:
    """A world with its upkeep, another process's connection, and the purges that were passed on."""
    async with world(url=url) as w:
        database = await Database.open(url)
        purges: list[str] = []
        epochs = EpochStore(database)
        reopen = partial(
            Shelf.open,
            database,
            embedder="words",
            dimensions=DIMENSIONS,
            settings=ShelfSettings(),
        )
        upkeep = Upkeep(
            w.memory,
            epochs=epochs,
            orders=SemanticOrders(database),
            evidence=w.evidence,
            reopen=reopen,
            on_purge=[lambda: purges.append("purged")],
            metrics=SemanticMetrics(CollectorRegistry()),
            poll_s=0.01,
            newest=(await epochs.changes(None)).newest,
        )
        try:
            yield w, upkeep, database, purges
        finally:
            await upkeep.close()
            await database.close()


async def test_a_purge_elsewhere_is_heard_of(database_url: str) -> None:
    async with kept_up(database_url) as (w, upkeep, database, purges):
        await w.ask(ASKED, tenant="acme")
        await w.ask(ASKED, tenant="globex")
        await upkeep.turn()
        assert not purges
        await SemanticOrders(database).purge(asdict(Purge(tenant="acme")))
        await upkeep.turn()
        assert purges == ["purged"]
        assert w.memory.shelf.stats().by_task == {("globex", "faq"): 1}
        _, call = await w.ask(AGAIN, tenant="acme")
        assert call.trace.cache == "miss"
        await upkeep.turn()
        assert purges == ["purged"]


async def test_what_was_filled_elsewhere_is_read(database_url: str) -> None:
    async with kept_up(database_url) as (w, upkeep, database, purges):
        async with world(url=database_url) as other:
            await other.ask(ASKED)
        assert w.memory.shelf.stats().entries == 0
        await SemanticOrders(database).fill()
        await upkeep.turn()
        _, call = await w.ask(AGAIN)
        assert (call.trace.cache, purges) == ("semantic", [])


async def test_what_was_learned_outlives_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'stepwell.db'}"
    async with kept_up(url) as (w, _, _, _):
        for _ in range(5):
            w.memory.cuts.observe("faq", 4.0, wrong=True)
        learned = w.memory.cuts.cut("faq")
    async with world(url=url) as w:
        assert w.memory.cuts.cut("faq") == learned
        assert learned.outcomes in {0, 5}


async def test_a_gateways_own_answers_go_with_a_purge(database_url: str) -> None:
    database = await Database.open(database_url)
    try:
        evictions = SharedEvictions(EpochStore(database), CacheSettings(l1_poll_s=0.01))
        await evictions.start()
        look = evictions.look
        await SemanticOrders(database).purge(asdict(Purge(everything=True)))
        await evictions.close()  # a last look is not promised, so one is taken here
        await evictions._turn()
        assert evictions.overtaken("any key", look)
    finally:
        await database.close()
