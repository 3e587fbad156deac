"""The vectors in PostgreSQL, by its extension pgvector: nothing of them in this process's memory.

A scope of up to `EXACT` entries is compared row by row, found by its own B-tree. A larger one is
searched through one HNSW index over all scopes, scanned on and on until enough rows of this scope
have come (pgvector 0.8's iterative scan); where that gives up early, the scope is compared after
all, so what is found never depends on the neighbours.
"""

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from cache.index import Match, Vector
from serving.errors import ConfigError
from serving.storage.database import Database

EXACT = 10_000
MOST_DIMENSIONS = 2_000
"""What pgvector's HNSW takes."""

BEAM = 200
SCANNED = 100_000
"""Rows of the index that one search looks at, at most."""

LOCK = 0x5354_4550_5653

_SETTINGS = (
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true),"
    f" set_config('hnsw.ef_search', '{BEAM}', true),"
    f" set_config('hnsw.max_scan_tuples', '{SCANNED}', true)"
)


class PgVector:
    """The vectors of one embedder, in a table of their own that follows the entries' table: a row
    goes with its entry. Use `open`.
    """

    def __init__(self, database: Database, embedder: str, dimensions: int, exact: int) -> None:
        self._database = database
        self._dimensions = dimensions
        self._exact = exact
        name = f"{embedder}\0{dimensions}".encode()
        self.table = f"semantic_vectors_{blake2b(name, digest_size=6).hexdigest()}"

    @classmethod
    async def open(
        cls, database: Database, embedder: str, dimensions: int, *, exact: int = EXACT
    ) -> "PgVector":
        """Makes the extension, the table and its indexes where they are missing. `ConfigError`
        where the database has no pgvector, or is no PostgreSQL.
        """
        if database.dialect != "postgresql":
            raise ConfigError("cache.semantic.index: pgvector needs PostgreSQL as storage.url")
        if dimensions > MOST_DIMENSIONS:
            raise ConfigError(
                f"cache.semantic.index: pgvector takes vectors of at most {MOST_DIMENSIONS}"
                f" dimensions; this embedder's have {dimensions}"
            )
        self = cls(database, embedder, dimensions, exact)
        try:
            await database.write(self._make)
        except DBAPIError as error:
            reason = str(error.orig).splitlines()[0]
            raise ConfigError(
                f"cache.semantic.index: pgvector cannot be set up ({reason}); install it on the"
                " server and run CREATE EXTENSION vector, or use another index"
            ) from None
        return self

    async def insert(self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
        """The vectors of entries (rows of `semantic_entries`) that this transaction wrote."""
        statement = text(
            f"INSERT INTO {self.table} (entry, scope, vector)"  # noqa: S608 - a name made here
            " VALUES (:entry, :scope, CAST(CAST(:vector AS text) AS vector))"
            " ON CONFLICT (entry) DO UPDATE SET scope = excluded.scope, vector = excluded.vector"
        )
        values = [
            {"entry": row["id"], "scope": row["scope"], "vector": _literal(row["vector"])}
            for row in rows
        ]
        await connection.execute(statement, values)

    async def missing(self, ids: Collection[int]) -> set[int]:
        """Those whose vectors are not here."""
        query = text(f"SELECT entry FROM {self.table} WHERE entry = ANY(:ids)")  # noqa: S608 - as above
        async with self._database.read() as connection:
            there = await connection.execute(query, {"ids": list(ids)})
            return set(ids) - set(there.scalars())

    async def search(self, scope: str, size: int, vector: Vector, most: int) -> list[Match]:
        """As `Index.search`. `size`: how many entries the scope has, about."""
        if size > self._exact:
            found = await self._nearest(scope, vector, most, indexed=True)
            if len(found) >= most:
                return found
        return await self._nearest(scope, vector, most, indexed=False)

    async def _nearest(
        self, scope: str, vector: Vector, most: int, *, indexed: bool
    ) -> list[Match]:
        # A sum is no expression that the index serves, so the scope's own rows are compared.
        distance = "vector <=> CAST(CAST(:vector AS text) AS vector)"
        order = distance if indexed else f"({distance}) + 0"
        query = text(
            f"SELECT entry, 1 - ({distance}) AS cosine FROM {self.table}"  # noqa: S608 - as above
            f" WHERE scope = :scope ORDER BY {order} LIMIT :most"
        )
        values = {"scope": scope, "vector": _literal(vector.tobytes()), "most": most}
        async with self._database.read() as connection:
            if indexed:
                await connection.execute(text(_SETTINGS))
            rows = (await connection.execute(query, values)).all()
        return [Match(row.entry, row.cosine) for row in rows]

    async def _make(self, connection: AsyncConnection) -> None:
        name = self.table
        for statement in (
            f"SELECT pg_advisory_xact_lock({LOCK})",
            "CREATE EXTENSION IF NOT EXISTS vector",
            f"CREATE TABLE IF NOT EXISTS {name} (entry BIGINT PRIMARY KEY REFERENCES"
            " semantic_entries (id) ON DELETE CASCADE ON UPDATE CASCADE,"
            f" scope VARCHAR(64) NOT NULL, vector vector({self._dimensions}) NOT NULL)",
            f"CREATE INDEX IF NOT EXISTS {name}_scope ON {name} (scope)",
            f"CREATE INDEX IF NOT EXISTS {name}_near ON {name}"
            " USING hnsw (vector vector_cosine_ops)",
        ):
            await connection.execute(text(statement))


def _literal(vector: bytes) -> str:
    """A float32 row as pgvector writes it."""
    import numpy as np  # noqa: PLC0415 - in an extra

    row = np.frombuffer(vector, "<f4").astype(np.float32)
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY).decode()
