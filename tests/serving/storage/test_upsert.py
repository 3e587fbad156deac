"""Rows are written by their key, the newest version last."""

from decimal import Decimal

from sqlalchemy import select

from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.storage.upsert import upsert
from tests.serving.storage.rows import attempt, count


async def test_a_row_replaces_its_older_version(database: Database) -> None:
    async with database.begin() as connection:
        await upsert(connection, attempts, [attempt("a", outcome="intent", cost=Decimal(1))])
        newer = [attempt("a", outcome="accepted", cost=Decimal(2)), attempt("b")]
        await upsert(connection, attempts, newer)
        await upsert(connection, attempts, [])
    async with database.read() as connection:
        query = select(attempts.c.outcome, attempts.c.cost).where(attempts.c.id == "a")
        found = (await connection.execute(query)).one()
    assert tuple(found) == ("accepted", Decimal(2))
    assert await count(database) == 2


async def test_text_from_clients_never_fails(database: Database) -> None:
    row = attempt("a", session="x" * 500, step="nul\x00", feature="half \ud800", reason="é" * 5_000)
    async with database.begin() as connection:
        await upsert(connection, attempts, [row])
    async with database.read() as connection:
        found = (await connection.execute(select(attempts))).one()
    assert found.session == "x" * 128
    assert found.step == "nul\ufffd"
    assert found.feature == "half \ufffd"
    assert found.reason == "é" * 5_000
