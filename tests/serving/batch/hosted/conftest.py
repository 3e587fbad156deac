"""Fixtures: an open database, once on SQLite and once on PostgreSQL."""

from tests.postgres import database, database_url, postgres_server

__all__ = ["database", "database_url", "postgres_server"]
