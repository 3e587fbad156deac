"""The outcomes log and its export."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from serving.storage.database import Database
from serving.storage.outcomes import PAGE_ROWS, OutcomesLog, export_outcomes

TIERS: Mapping[str, Mapping[str, Any]] = {
    "small": {"correct": 0.0, "confidence": -0.3, "answer": "no", "cost_usd": 2.4e-5},
    "large": {"correct": 1.0, "confidence": None, "answer": "yes", "latency_ms": 158},
}


@dataclass(frozen=True)
class Checked:
    id: str = "req_1"
    tenant: str = "acme"
    task: str | None = "faq"
    prompt: str | None = "Is it so?"
    tiers: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: TIERS)
    agreed: bool | None = False
    compared_by: str = "exact"


async def lines(database: Database, **scope: Any) -> list[dict[str, Any]]:
    return [line async for line in export_outcomes(database, **scope)]


async def test_the_export_is_in_the_outcomes_format(database: Database) -> None:
    await OutcomesLog(database).add(Checked())
    (line,) = await lines(database)
    assert orjson.loads(orjson.dumps(line)) == {
        "id": line["id"],
        "task": "faq",
        "prompt": "Is it so?",
        "tiers": TIERS,
    }
    assert list(line["tiers"]) == ["small", "large"]


async def test_the_same_request_may_be_compared_twice(database: Database) -> None:
    log = OutcomesLog(database)
    await log.add(Checked())
    await log.add(Checked(prompt=None))
    found = await lines(database)
    assert len({line["id"] for line in found}) == 2
    assert [line["prompt"] for line in found] == ["Is it so?", None]


async def test_what_could_not_be_compared_is_not_exported(database: Database) -> None:
    log = OutcomesLog(database)
    await log.add(Checked(agreed=None))
    assert await lines(database) == []


async def test_the_export_can_be_narrowed(database: Database) -> None:
    log = OutcomesLog(database)
    await log.add(Checked(tenant="a", task="x"))
    await log.add(Checked(tenant="b", task="y"))
    now = datetime.now(UTC)
    assert len(await lines(database, tenant="a")) == 1
    assert len(await lines(database, task="y")) == 1
    assert await lines(database, tenant="a", task="y") == []
    assert len(await lines(database, since=now - timedelta(minutes=1))) == 2
    assert await lines(database, until=now - timedelta(minutes=1)) == []


async def test_the_export_goes_on_behind_a_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.storage.outcomes.PAGE_ROWS", 3)
    assert PAGE_ROWS > 3
    log = OutcomesLog(database)
    for i in range(7):
        await log.add(Checked(id=f"req_{i}", prompt=str(i)))
    assert [line["prompt"] for line in await lines(database)] == [str(i) for i in range(7)]
