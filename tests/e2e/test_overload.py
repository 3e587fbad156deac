"""More calls than a tier takes, and tiers that are down, as a client and the ledger see it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.e2e.configs import ladder, mock_tier
from tests.e2e.stack import Stack, running

BODY: dict[str, Any] = {
    "model": "auto",
    "messages": [{"role": "user", "content": "How do I reset the password of my account?"}],
    "stepwell": {"explain": True},
}
SLOW = {"time_scale": 1, "ttft_ms": 400, "tokens_per_s": 5_000, "jitter": 0}
FORCED = {"metadata": {"mock_fault": "error", "mock_fault_tier": "fragile"}}


def limited(name: str, limits: dict[str, Any], **backend: Any) -> dict[str, Any]:
    return {**mock_tier(name, **backend), "limits": limits, "retries": 1}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    tiers = [
        limited("narrow", {"max_concurrent": 1, "max_queued": 1}, **SLOW),
        limited("single", {"max_concurrent": 1, "max_queued": 0}, **SLOW),
        limited("fragile", {"breaker": {"faults": 4, "reset_s": 60}}),
        mock_tier("large"),
        limited("drip", {"max_concurrent": 1, "max_queued": 0}, **{**SLOW, "tokens_per_s": 4}),
    ]
    with running(ladder(tiers=tiers), tmp_path_factory.mktemp("overload")) as stack:
        yield stack


async def post(client: httpx2.AsyncClient, **changes: Any) -> httpx2.Response:
    return await client.post("/v1/chat/completions", json={**BODY, **changes})


def client(stack: Stack) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=stack.url, timeout=30)


def rows(stack: Stack, response: httpx2.Response) -> list[tuple[str, str, str | None]]:
    request_id = response.json()["stepwell"]["request_id"]
    return [(r["tier"], r["outcome"], r["error"]) for r in stack.attempts(request_id)]


async def test_beyond_the_queue_the_client_is_told_when_to_come_back(stack: Stack) -> None:
    async with client(stack) as http:
        got = await asyncio.gather(*(post(http, model="narrow") for _ in range(4)))
    refused = [r for r in got if r.status_code != 200]
    assert sorted(r.status_code for r in got) == [200, 200, 503, 503]
    for response in refused:
        assert response.json()["error"]["code"] == "overloaded"
        assert int(response.headers["retry-after"]) >= 1
        assert rows(stack, response) == [("narrow", "failed", "tier_queue_full")]
    query = "SELECT sum(cost) AS cost FROM attempts WHERE error = 'tier_queue_full'"
    assert stack.rows(query) == [{"cost": 0}]


async def test_a_streamed_request_is_refused_the_same_way(stack: Stack) -> None:
    async with client(stack) as http:
        got = await asyncio.gather(*(post(http, model="single", stream=True) for _ in range(2)))
    assert sorted(r.status_code for r in got) == [200, 503]
    refused = next(r for r in got if r.status_code == 503)
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_full_tier_is_climbed_over(stack: Stack) -> None:
    async with client(stack) as http:
        got = await asyncio.gather(*(post(http) for _ in range(4)))
    assert {r.status_code for r in got} == {200}
    routes = sorted([row[0] for row in rows(stack, r)] for r in got)
    assert [r[0] for r in routes] == ["narrow"] * 4
    assert routes[-1] == ["narrow", "single", "fragile"]


async def test_a_client_that_leaves_frees_its_slot(stack: Stack) -> None:
    body = {**BODY, "model": "drip", "stream": True}
    async with client(stack) as http:
        for _ in range(3):
            async with http.stream("POST", "/v1/chat/completions", json=body) as response:
                assert response.status_code == 200
                lines = response.aiter_lines()
                await anext(lines)
                refused = await post(http, model="drip")
                assert refused.status_code == 503
            await asyncio.sleep(0.1)  # far less than the answer would have taken


async def test_a_broken_tier_is_climbed_over_without_being_asked(stack: Stack) -> None:
    async with client(stack) as http:
        for _ in range(2):
            failing = await post(http, model="fragile", **FORCED)
            assert failing.status_code == 502
        assert rows(stack, failing) == [("fragile", "failed", "tier_unavailable")] * 2
        named = await post(http, model="fragile")
        config_order = await post(http)
        climbed = await asyncio.gather(*(post(http) for _ in range(4)))
    assert named.status_code == 502
    assert rows(stack, named) == [("fragile", "failed", "tier_circuit_open")]
    assert config_order.status_code == 200
    routes = [rows(stack, r) for r in climbed]
    over = next(route for route in routes if len(route) == 4)
    assert over[2:] == [("fragile", "failed", "tier_circuit_open"), ("large", "accepted", None)]
