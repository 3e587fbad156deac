"""Writes to a SQLite file from one thread, a transaction per trip.

The async driver makes a trip to its thread for each of a transaction's five statements; a hosted
call waits for its intent, so each trip is waited for.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import URL, Engine, Table, create_engine, event
from sqlalchemy.engine import Connection

from serving.storage.json import dumps
from serving.storage.upsert import Row, upsert_now


class SqliteWriter:
    """Its connection belongs to its thread. Callers wait in line before they come here."""

    def __init__(self, url: URL, configure: Callable[..., None]) -> None:
        """`configure` is told of each new driver connection."""
        self._engine = _engine(url, configure)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._connection: Connection | None = None
        self._closed = False

    async def upsert(self, table: Table, rows: Sequence[Row]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._upsert, table, rows)

    async def close(self) -> None:
        """Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _upsert(self, table: Table, rows: Sequence[Row]) -> None:
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            with self._connection.begin():
                upsert_now(self._connection, table, rows)
        except Exception:
            self._close()  # the next write begins with a fresh connection
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()


def _engine(url: URL, configure: Callable[..., None]) -> Engine:
    engine = create_engine(url.set(drivername="sqlite"), json_serializer=dumps)
    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
