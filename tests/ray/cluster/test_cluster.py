"""The mock overlay on five nodes: a rolling change, and parts that are killed under load."""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.postgres import fresh_database, postgres_server
from tests.ray.cluster.nodes import START_S
from tests.ray.cluster.overlay import Deployed, deployed, resources
from tests.ray.cluster.traffic import Seen, load, questions, replay

pytest.importorskip("ray", reason="these tests need the extra `ray`")

__all__ = ["postgres_server"]

REQUESTS = int(os.environ.get("STEPWELL_CLUSTER_REQUESTS", "400"))
"""2,000 is what the figures in docs/operations.md were taken with."""

AT_ONCE = 8
READY_S = 60
UNWRITTEN_S = 5.0
"""A gateway writes its rows every half second, later where the machine does much else."""


@pytest.fixture(scope="module")
def database(postgres_server: str) -> str:
    return asyncio.run(fresh_database(postgres_server))


@pytest.fixture(scope="module")
def stack(database: str) -> Iterator[Deployed]:
    with deployed(database) as found:
        yield found


def test_a_change_rolls_out_without_a_failed_request(stack: Deployed) -> None:
    """A threshold replaces gateways alone, a number of replicas nobody."""
    gateways, small = stack.pids("gateway"), stack.pids("tier-local-7b")
    others = stack.pids("tier-local-70b") | stack.pids("egress") | stack.pids("semantic")

    def certain(written: dict[str, Any]) -> None:
        written["tiers"][0]["gate"] |= {"min_mean": 0.0, "min_window": 0.0}

    def wider(written: dict[str, Any]) -> None:
        certain(written)
        written["tiers"][0]["replicas"] = 2

    with load(stack.url) as clients:
        assert "local-7b" in clients.tiers_from_now()
        stack.change(certain)
        assert "local-7b" not in clients.tiers_from_now()
        assert not gateways & stack.pids("gateway")
        assert len(gateways) == len(stack.pids("gateway")) == 2

        gateways = stack.pids("gateway")
        stack.change(wider)
        clients.tiers_from_now()
        assert len(stack.pids("tier-local-7b")) == 2
        assert small < stack.pids("tier-local-7b")
        stack.change(certain)
        clients.tiers_from_now()
        assert len(stack.pids("tier-local-7b")) == 1
        assert stack.pids("gateway") == gateways
    now = stack.pids("tier-local-70b") | stack.pids("egress") | stack.pids("semantic")
    assert now == others
    assert clients.failed == []


def test_a_change_that_does_not_start_replaces_nobody(stack: Deployed) -> None:
    gateways = stack.pids("gateway")

    def unstartable(written: dict[str, Any]) -> None:
        written["conversations"] = {"key_env": "STEPWELL_NOT_SET"}

    until = time.monotonic() + START_S
    with load(stack.url) as clients:
        stack.begin(unstartable)
        while "STEPWELL_NOT_SET" not in stack.says("gateway"):
            assert time.monotonic() < until, stack.cluster.logs()
            time.sleep(0.2)
        assert clients.tiers_from_now()
        assert gateways <= stack.pids("gateway")
        stack.change(lambda _written: None)
        assert clients.tiers_from_now()
    assert clients.failed == []


def test_killed_parts_cost_no_request(stack: Deployed, database: str) -> None:
    stack.change(lambda _written: None)  # what is committed
    recovered: dict[str, float] = {}
    killed_at: list[float] = []

    def lose_gateway() -> None:
        killed_at.append(time.monotonic())
        recovered.update(gateway=_lose_replica(stack, "gateway"))

    seen = replay(
        stack.url,
        questions(REQUESTS),
        at_once=AT_ONCE,
        reached={
            REQUESTS // 5: lose_gateway,
            REQUESTS // 2: lambda: recovered.update(tier=_lose_replica(stack, "tier-local-7b")),
            REQUESTS * 7 // 10: lambda: recovered.update(node=_lose_node(stack, "local-70b")),
        },
    )
    print(  # noqa: T201 - the figures, with -s
        f"{seen.ended} requests, {len(seen.answered)} answered, {dict(seen.refused)} refused,"
        f" {seen.again} asked again; ready again after {recovered} s"
    )
    assert seen.broken == []
    assert seen.ended == REQUESTS
    assert len(seen.answered) >= 0.98 * REQUESTS
    assert recovered.keys() == {"gateway", "tier", "node"}
    assert max(recovered.values()) < READY_S
    time.sleep(UNWRITTEN_S)
    asyncio.run(_ledger_agrees(database, seen, killed_at[0]))


def _lose_replica(stack: Deployed, deployment: str) -> float:
    """Seconds until as many as before are ready."""
    before = stack.pids(deployment)
    start = time.monotonic()
    stack.cluster.kill_one(deployment)
    return _recovered(stack, deployment, start, before)


def _lose_node(stack: Deployed, group: str) -> float:
    """As Kubernetes does, another pod is made at once."""
    before = stack.pids(f"tier-{group}")
    start = time.monotonic()
    stack.cluster.lose(group)
    stack.cluster.join(group, resources(group))
    return _recovered(stack, f"tier-{group}", start, before)


def _recovered(stack: Deployed, deployment: str, start: float, before: set[int]) -> float:
    until = start + READY_S
    while stack.pids(deployment) == before or len(stack.pids(deployment)) < len(before):
        assert time.monotonic() < until, stack.cluster.logs()
        time.sleep(0.1)
    stack.settled()
    while not stack.ready():
        assert time.monotonic() < until, stack.cluster.logs()
        time.sleep(0.1)
    return round(time.monotonic() - start, 1)


async def _ledger_agrees(database: str, seen: Seen, killed_at: float) -> None:
    """Nothing stands in it twice, and of what was answered it lacks at most what a killed gateway
    had not written yet.
    """
    url = database.replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        ids = (await connection.execute(text("SELECT id FROM attempts"))).scalars().all()
        rows = await connection.execute(
            text(
                "SELECT request_id, count(*) FROM attempts WHERE kind IN ('attempt', 'cache_hit')"
                " AND outcome IN ('accepted', 'best_effort') GROUP BY request_id"
            )
        )
        accepted = {str(request): int(count) for request, count in rows}
    await engine.dispose()
    assert len(ids) == len(set(ids))
    assert len(seen.answered) == len(set(seen.answered))
    assert max(accepted[request] for request in seen.answered if request in accepted) <= 1
    missing = [request for request in seen.answered if request not in accepted]
    assert [r for r in missing if not -1 <= killed_at - seen.at[r] <= UNWRITTEN_S] == []
