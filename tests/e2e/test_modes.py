"""Whole stacks in other modes: observe, critical tasks, aliases, PostgreSQL."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from sqlalchemy import select

from serving.storage.database import Database
from serving.storage.schema import attempts
from tests.e2e.configs import ladder, mock_tier
from tests.e2e.stack import Stack, running
from tests.postgres import fresh_database

QUESTION: list[Any] = [{"role": "user", "content": "Why is my transfer to Spain late?"}]
EXPLAIN = {"stepwell": {"explain": True}}


def route(stack: Stack, messages: list[Any] = QUESTION, **more: Any) -> dict[str, Any]:
    with stack.client() as client:
        answer = client.chat.completions.create(
            **{"model": "auto", "messages": messages, "extra_body": EXPLAIN, **more}
        )
    found: dict[str, Any] = (answer.model_extra or {})["stepwell"]
    return found


def test_observe_sends_everything_to_the_baseline_and_only_measures(tmp_path: Path) -> None:
    config = ladder(mode="observe", baseline="large")
    config["tiers"][1]["backend"]["faults"] = {"refuse": 1.0}
    with running(config, tmp_path) as stack:
        found = route(stack)
        (row,) = stack.attempts(found["request_id"])
    assert found["tier"] == "large"
    assert found["cost_usd"] == found["baseline_cost_usd"]
    assert (row["outcome"], row["reason"]) == ("accepted", "observed")
    notes = {d["stage"]: d for d in found["decisions"]}
    assert "start at small" in notes["plan"]["reason"]
    assert notes["validators"]["decision"] == "failed"


def test_a_critical_task_is_pinned_and_kept_in_full(tmp_path: Path) -> None:
    critical = {"name": "legal", "critical": True, "match": {"words": ["contract"]}}
    messages: list[Any] = [{"role": "user", "content": "Is this contract void?"}]
    with running(ladder(tasks=[critical]), tmp_path) as stack:
        found = route(stack, messages)
        route(stack)
        (audit,) = stack.rows("SELECT * FROM audits")
    assert found["tier"] == "opus"
    assert found["cache"] == "off"
    assert audit["request_id"] == found["request_id"]
    assert json.loads(audit["request"])["messages"] == messages
    assert json.loads(audit["response"])["choices"][0]["message"]["content"]
    assert json.loads(audit["trace"])["attempts"][0]["tier"] == "opus"


def test_an_alias_stands_for_the_cascade(tmp_path: Path) -> None:
    with running(ladder(aliases={"gpt-4o": "auto", "cheap": "small"}), tmp_path) as stack:
        assert route(stack, model="gpt-4o")["tier"] == "small"
        assert route(stack, model="cheap")["tier"] == "small"
        with pytest.raises(openai.NotFoundError, match="gpt-5"):
            route(stack, model="gpt-5")


def test_the_request_bounds_the_climb(tmp_path: Path) -> None:
    config = ladder()
    for tier in config["tiers"][:2]:
        tier["backend"]["faults"] = {"refuse": 1.0}
    bounded = {"stepwell": {"explain": True, "max_tier": "large"}}
    with running(config, tmp_path) as stack:
        found = route(stack, extra_body=bounded)
        assert route(stack)["tier"] == "sonnet"
    assert [a["tier"] for a in found["attempts"]] == ["small", "large"]
    assert found["best_effort"]


def test_the_whole_stack_runs_on_postgresql(tmp_path: Path, postgres_server: str) -> None:
    url = asyncio.run(fresh_database(postgres_server))
    with running({"tiers": [mock_tier("only")]}, tmp_path, url) as stack:
        found = route(stack)

    async def stored() -> Any:
        database = await Database.open(url)
        async with database.read() as connection:
            rows = (await connection.execute(select(attempts))).all()
        await database.close()
        return rows

    (row,) = asyncio.run(stored())
    assert (row.request_id, row.outcome) == (found["request_id"], "accepted")
    assert row.cost == Decimal(found["cost_usd"])
