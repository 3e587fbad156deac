"""Rows for tests of what writes them."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, text

from serving.storage.database import Database
from serving.storage.schema import attempts

TOKENS = ("prompt", "completion", "cached", "cache_write", "cache_write_1h", "reasoning")


def attempt(key: str, **values: Any) -> dict[str, Any]:
    """A whole row of `attempts`."""
    empty = ["key_id", "feature", "task", "session", "step", "cost", "baseline_cost", "error"]
    empty += ["conversation", "list_cost", "live_cost", "above_cost"]
    return {
        "id": key,
        "request_id": "r",
        "kind": "attempt",
        "created_at": datetime(2026, 11, 21, tzinfo=UTC),
        "tenant": "t",
        **dict.fromkeys(empty),
        "tier": "small",
        "model": "m",
        "simulated": False,
        "service": "live",
        **{f"{name}_tokens": 0 for name in TOKENS},
        "usage_estimated": False,
        "latency_ms": None,
        "ttft_ms": None,
        "outcome": "accepted",
        "reason": "",
        **values,
    }


async def count(database: Database) -> int:
    """Rows in `attempts`."""
    async with database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(attempts))).scalar_one()


async def break_down(database: Database) -> None:
    """From here on every write to `attempts` fails."""
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE attempts RENAME TO away"))


async def repair(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO attempts"))
