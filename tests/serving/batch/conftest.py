"""Fixtures: an open database, once on SQLite and once on PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from serving.storage.database import Database
from tests.postgres import database_url, postgres_server

__all__ = ["database", "database_url", "postgres_server"]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    yield opened
    await opened.close()
