"""Where a test waits for another transaction to wait."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from serving.storage.database import Database

WAITS = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def needs_writers(database: Database) -> None:
    """Skips the test where transactions that write cannot run side by side."""
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")


async def blocked(database: Database) -> bool:
    """Whether a transaction waits for what another one has locked (PostgreSQL)."""
    async with database.read() as connection:
        return bool((await connection.execute(WAITS)).scalar_one())


async def until(good: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while True:
            if await good():
                return
            await asyncio.sleep(0.01)
