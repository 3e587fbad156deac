"""Fixtures: an open database, once on SQLite and once on PostgreSQL."""

from tests.postgres import database_url, postgres_server
from tests.serving.batch.conftest import database

__all__ = ["database", "database_url", "postgres_server"]
