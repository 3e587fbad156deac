"""Fixtures: an open database, once on SQLite and once on PostgreSQL, and a ledger on it."""

from collections.abc import AsyncIterator

import pytest

from serving.costs.ledger import Ledger
from serving.storage.database import Database
from tests.postgres import database, database_url, postgres_server
from tests.serving.costs.fakes import ledger_on

__all__ = ["database", "database_url", "postgres_server"]


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    """A ledger that writes when it is told to and when it closes."""
    made = ledger_on(database)
    await made.start()
    yield made
    await made.close()
