"""Vectors in a real PostgreSQL with pgvector: right in every scope, small and large."""

import numpy as np
import pytest
from sqlalchemy import text

from cache.indexes.pgvector import PgVector
from cache.semantic import store
from cache.semantic.checked import made
from serving.errors import ConfigError
from serving.storage.database import Database
from tests.cache.indexes.clusters import Vectors, clustered, near, recall
from tests.cache.semantic.entries import DIMENSIONS, EMBEDDER, HERE, new

SCOPES = [f"{number:064x}" for number in range(20)]
COUNT = 3_000

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def fill(database: Database, index: PgVector, vectors: Vectors, scopes: list[str]) -> None:
    """Entries whose ids are the row numbers."""
    rows = [
        store.as_row(
            made(new(row, scope=scope, text=f"question {row}"), row, 1e9), vector, EMBEDDER
        )
        for row, (vector, scope) in enumerate(zip(vectors, scopes, strict=True))
    ]
    async with database.begin() as connection:
        await store.insert(connection, rows)
        await index.insert(connection, rows)


async def planned_as_if_large(database: Database) -> None:
    """Makes the planner prefer the HNSW index, as it does by itself where rows are many."""
    async with database.begin() as connection:
        name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
        for other in ("seqscan", "bitmapscan", "sort"):
            await connection.execute(text(f"ALTER DATABASE {name} SET enable_{other} = off"))
    await database.engine.dispose()  # it holds for new connections


async def scans(database: Database, index: str) -> int:
    """How often the index was used."""
    async with database.begin() as connection:
        await connection.execute(text("SELECT pg_stat_force_next_flush()"))
    query = text("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = :name")
    async with database.read() as connection:
        return int((await connection.execute(query, {"name": index})).scalar_one())


@pytest.mark.parametrize("exact", [10_000, 0])
async def test_recall_within_a_scope(database: Database, exact: int) -> None:
    """Also where the HNSW index over all scopes is scanned for a scope of a twentieth of them."""
    rng = np.random.default_rng(3)
    vectors = clustered(COUNT, DIMENSIONS, rng)
    home = rng.integers(len(SCOPES), size=COUNT)
    index = await PgVector.open(database, EMBEDDER, DIMENSIONS, exact=exact)
    await fill(database, index, vectors, [SCOPES[number] for number in home])
    await planned_as_if_large(database)
    mine = np.nonzero(home == 7)[0]
    queries = near(vectors[rng.choice(mine, 60)], rng)
    found = [await index.search(SCOPES[7], len(mine), query, 5) for query in queries]
    place = {int(row): number for number, row in enumerate(mine)}
    assert all(match.key in place for some in found for match in some)
    keys = [[place[match.key] for match in some] for some in found]
    assert recall(keys, vectors[mine], queries, 5) >= 0.99
    for query, some in zip(queries, found, strict=True):
        for match in some:
            assert match.cosine == pytest.approx(float(vectors[match.key] @ query), abs=1e-5)
    assert (await scans(database, f"{index.table}_near") >= 60) == (exact == 0)


async def test_a_scope_smaller_than_asked_for_is_found_whole(database: Database) -> None:
    vectors = clustered(300, DIMENSIONS, np.random.default_rng(3))
    index = await PgVector.open(database, EMBEDDER, DIMENSIONS, exact=0)
    await fill(database, index, vectors, [SCOPES[row % 100 == 0] for row in range(300)])
    found = await index.search(SCOPES[1], 3, vectors[1], 10)
    assert {match.key for match in found} == {0, 100, 200}
    assert await index.search("f" * 64, 0, vectors[1], 10) == []


async def test_opening_twice_and_for_two_embedders(database: Database) -> None:
    one = await PgVector.open(database, "one", DIMENSIONS)
    assert (await PgVector.open(database, "one", DIMENSIONS)).table == one.table
    assert (await PgVector.open(database, "two", DIMENSIONS)).table != one.table
    await fill(database, one, clustered(2, DIMENSIONS, np.random.default_rng(1)), [HERE] * 2)
    assert await one.missing([0, 1, 2]) == {2}


async def test_too_many_dimensions_are_refused(database: Database) -> None:
    with pytest.raises(ConfigError, match="at most 2000"):
        await PgVector.open(database, EMBEDDER, 2_001)
