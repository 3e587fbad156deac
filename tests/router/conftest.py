"""Fixtures: an open database, once on SQLite and once on PostgreSQL, and a ledger on SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.postgres import database, database_url, postgres_server
from tests.router.books import Books

__all__ = ["database", "database_url", "postgres_server"]


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    made = await Books.opened(f"sqlite:///{tmp_path / 'test.db'}")
    yield made
    await made.database.close()
