"""Fixtures: the URL of an empty database, once on SQLite and once on PostgreSQL."""

from tests.postgres import database_url, postgres_server

__all__ = ["database_url", "postgres_server"]
