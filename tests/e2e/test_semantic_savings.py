"""What answers to rephrasings save, by the ledger and by a replay without them."""

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from deploy.build import opened
from serving.backend import Call
from serving.costs.report import Line, compute
from serving.settings.root import Settings
from serving.storage.database import Database
from serving.storage.schema import semantic_entries
from serving.wire.chat import ChatRequest
from tests.e2e.configs import ladder

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

GROUPS = (
    ("How do I reset my password?", "How can I reset my password?"),
    ("Where is my order?", "Where is my order now?"),
    ("Do you ship to Norway?", "Do you deliver to Norway?"),
)


async def ran(url: str, *, semantic: bool) -> Line:
    """Each question and its rephrasing, the latter once the answer to the former is kept."""
    own = {"enabled": True, "semantic": {"delta": 0.1, "audit": 0.0}}
    settings = Settings.model_validate(
        ladder(
            default_task={"name": "default", "gate": "off", "cache": own},
            cache={"semantic": {"enabled": semantic, "deadline_ms": 5_000}},
            storage={"url": url, "flush_interval_s": 0.05},
        )
    )
    database = await Database.open(url)
    try:
        async with opened(settings) as service:
            for number, group in enumerate(GROUPS):
                for text in group:
                    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
                    call = Call(f"r{number}", "default", time.monotonic() + 30)
                    await service.backend.complete(ChatRequest.model_validate(body), call)
                    if semantic:
                        await kept(database, number + 1)
        return (await compute(database, [])).total
    finally:
        await database.close()


async def kept(database: Database, count: int) -> None:
    """Answers are kept behind the request's back."""
    async with asyncio.timeout(20):
        while True:
            async with database.read() as connection:
                query = select(func.count()).select_from(semantic_entries)
                if (await connection.execute(query)).scalar_one() >= count:
                    return
            await asyncio.sleep(0.01)


async def test_a_rephrasing_saves_its_baseline_and_costs_routing_its_part(tmp_path: Path) -> None:
    with_it = await ran(f"sqlite:///{tmp_path / 'on.db'}", semantic=True)
    without = await ran(f"sqlite:///{tmp_path / 'off.db'}", semantic=False)
    assert with_it.semantic_hits == len(GROUPS)
    assert with_it.parts.semantic_cache > 0
    assert [without.parts.semantic_cache, without.parts.exact_cache] == [0, 0]
    # A hit has the tokens of the question that was answered first: a few more or less.
    estimate = without.baseline_usd - with_it.baseline_usd
    assert abs(estimate) < with_it.parts.semantic_cache / 20
    later = without.parts.routing - with_it.parts.routing
    measured = without.spend_usd - with_it.spend_usd
    assert measured == with_it.parts.semantic_cache - later + estimate > 0
    for line in (with_it, without):
        assert line.parts.total == line.baseline_usd - line.spend_usd
