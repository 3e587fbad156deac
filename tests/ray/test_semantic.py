"""On Ray Serve all gateways share one semantic cache, in a deployment of its own."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.e2e.configs import ladder
from tests.ray.stack import RayStack, running

pytest.importorskip("ray", reason="these tests need the extra `ray`")
pytest.importorskip("faiss", reason="these tests need the extra `cache`")

ASKED = "How do I reset my password?"
AGAIN = "How can I reset my password?"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayStack]:
    own = {"enabled": True, "semantic": {"delta": 0.1, "audit": 0.0}}
    config = ladder(
        default_task={"name": "default", "gate": "off", "cache": own},
        cache={"semantic": {"enabled": True, "deadline_ms": 5_000}},
    )
    config["tiers"][0]["backend"] |= {"time_scale": 1, "ttft_ms": 700}
    with running(config, tmp_path_factory.mktemp("ray"), gateways=2) as stack:
        yield stack


def ask(stack: RayStack, text: str) -> dict[str, Any]:
    """Over a connection of its own, so that either gateway may get it."""
    with stack.client(timeout=30) as client:
        answer = client.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": text}],
            extra_body={"stepwell": {"explain": True}},
        )
    route: dict[str, Any] = (answer.model_extra or {})["stepwell"]
    return {**route, "text": answer.choices[0].message.content}


def test_gateways_share_one_memory(stack: RayStack) -> None:
    assert len(stack.replicas("gateway")) == 2
    assert len(stack.replicas("semantic")) == 1
    assert httpx2.get(f"{stack.url}/ready").json()["parts"]["semantic cache"] == "ok"
    first = ask(stack, ASKED)
    until = time.monotonic() + 10
    while not stack.rows("SELECT id FROM semantic_entries", wait=0.02):
        assert time.monotonic() < until, "the answer was not kept"
    again = [ask(stack, AGAIN) for _ in range(8)]
    until = time.monotonic() + 10
    assert {a["cache"] for a in again} == {"semantic"}
    assert {a["text"] for a in again} == {first["text"]}
    hits = "SELECT id FROM attempts WHERE reason = 'semantic_cache_hit'"
    while len(stack.rows(hits, wait=0.05)) < 8:
        assert time.monotonic() < until, "the hits were not written to the ledger"
    assert stack.metric("stepwell_cache_requests_total", state="semantic") == 8


def test_identical_requests_are_answered_once_across_gateways(stack: RayStack) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: ask(stack, "Where is my parcel now?"), range(12)))
    assert len({a["text"] for a in answers}) == 1
    assert sorted(a["cache"] for a in answers) == ["exact"] * 11 + ["miss"]
    rows = stack.rows(
        "SELECT kind, count(*) AS n FROM attempts WHERE reason != 'semantic_cache_hit'"
        " GROUP BY kind ORDER BY kind",
        wait=0.5,
    )
    assert {row["kind"]: row["n"] for row in rows} == {"attempt": 2, "cache_hit": 11}


def test_without_its_replica_requests_are_answered_and_nothing_is_forgotten(
    stack: RayStack,
) -> None:
    assert ask(stack, AGAIN)["cache"] == "semantic"
    before = stack.replicas("semantic")[0].pid
    stack.kill_one("semantic")
    until = time.monotonic() + 60
    states: list[str] = []
    # Each in other words, lest a gateway's exact cache answers.
    marks = ("!" * n for n in itertools.count(1))
    while not states or states[-1] != "semantic":
        states.append(ask(stack, f"Please, how can I reset my password{next(marks)}")["cache"])
        assert time.monotonic() < until, states
    assert stack.replicas("semantic")[0].pid != before
