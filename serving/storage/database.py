"""The one way to the database: an async engine on SQLite or PostgreSQL, its schema up to date."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, AsyncAdaptedQueuePool, Table, event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from serving.errors import ConfigError
from serving.storage import url as urls
from serving.storage.json import dumps
from serving.storage.migrate import migrate
from serving.storage.sqlite_writer import SqliteWriter
from serving.storage.upsert import Row, upsert

BUSY_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_S = 10
COMMAND_TIMEOUT_S = 60
OPEN_TIMEOUT_S = 15.0


class Database:
    """An open database: `write` and `begin` are for writes, `read` for reads, all transactions.

    Belongs to one event loop.
    """

    def __init__(self, engine: AsyncEngine, writer: SqliteWriter | None = None) -> None:
        """Use `open`, which also brings the schema up to date."""
        self.engine = engine
        self._writer = writer
        self._writes: set[asyncio.Task[None]] = set()
        # SQLite has one writer at a time. Waiting in line here is fair and prompt; its own busy
        # handler polls, and starves some under load.
        sqlite = engine.dialect.name == "sqlite"
        self._turn: AbstractAsyncContextManager[None] = asyncio.Lock() if sqlite else nullcontext()

    @classmethod
    async def open(cls, url: str, *, must_exist: bool = False) -> Self:
        """The database at `url` (sqlite:///… or postgresql://…), its schema at this version's.

        Several processes may open one database at once. A SQLite file and its folder are made
        unless `must_exist`. `ConfigError` says what to do where the URL is wrong, the driver is
        missing, the database cannot be reached or its schema is newer than this code.
        """
        parsed = urls.parse(url)
        file = urls.sqlite_file(parsed)
        if file is not None:
            await asyncio.to_thread(_prepare_file, file, must_exist)
        direct = SqliteWriter(parsed, _configure_sqlite) if file is not None else None
        self = cls(_engine(parsed), direct)
        try:
            await self._migrate()
        except Exception as error:
            await self.close()
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(_explain(parsed, error)) from None
        except BaseException:
            await self.close()
            raise
        return self

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes: committed at the end, rolled back on an exception.

        On SQLite it holds the one write lock from the start, so keep it short. Where a client's
        leaving may cancel the caller, use `write`: a connection that is cancelled in the middle of
        a statement keeps SQLite's lock until it is collected as garbage.
        """
        async with self._turn, self.engine.connect() as connection:
            writing = await connection.execution_options(sqlite_begin="IMMEDIATE")
            async with writing.begin():
                yield writing

    async def write(self, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        """Does `work` in a transaction that goes on to its end when the caller is cancelled."""
        await self._to_its_end(self._write(work))

    async def upsert(self, table: Table, rows: Sequence[Row]) -> None:
        """Writes rows by their key in one transaction, as `write` does."""
        if self._writer is None:
            await self.write(lambda connection: upsert(connection, table, rows))
        else:
            await self._to_its_end(self._upsert(self._writer, table, rows))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, all of it from one snapshot; it waits for no writer."""
        async with self.engine.connect() as connection:
            if self.dialect == "postgresql":
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            yield connection

    async def close(self) -> None:
        """Waits for writes that are under way, then closes all connections."""
        if self._writes:
            await asyncio.wait(self._writes)
        await self.engine.dispose()
        if self._writer is not None:
            await self._writer.close()

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        await asyncio.shield(task)

    async def _upsert(self, writer: SqliteWriter, table: Table, rows: Sequence[Row]) -> None:
        async with self._turn:
            await writer.upsert(table, rows)

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        async with self.begin() as connection:
            await work(connection)

    async def _migrate(self) -> None:
        give_up = time.monotonic() + OPEN_TIMEOUT_S
        while True:
            try:
                async with self.begin() as connection:
                    await migrate(connection)
            except Exception as error:
                # Switching a new file to WAL fails at once, whatever the busy timeout, while
                # another process is switching it too.
                if "database is locked" not in str(error) or time.monotonic() > give_up:
                    raise
                await asyncio.sleep(0.05)
            else:
                return


def _engine(url: URL) -> AsyncEngine:
    # What is written may be what clients said, and has no place in an error's text.
    options: dict[str, Any] = {"json_serializer": dumps, "hide_parameters": True}
    if url.get_backend_name() == "postgresql":
        timeouts = {"timeout": CONNECT_TIMEOUT_S, "command_timeout": COMMAND_TIMEOUT_S}
        options |= {"connect_args": timeouts, "pool_pre_ping": True}
    elif urls.sqlite_file(url) is None:
        # A database in memory lives in its connection, so there must be exactly one.
        options |= {"poolclass": AsyncAdaptedQueuePool, "pool_size": 1, "max_overflow": 0}
    try:
        engine = create_async_engine(url, **options)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"storage.url: {url.get_backend_name()} needs the Python package '{error.name}':"
            " pip install 'stepwell[postgres]'"
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transactions leave DDL out; `_begin_sqlite` begins them instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _prepare_file(file: Path, must_exist: bool) -> None:
    try:
        if must_exist and not file.is_file():
            raise ConfigError(f"{file}: there is no database yet; start `stepwell serve` first")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)  # tenants and audited requests are nobody else's business
    except OSError as error:
        raise ConfigError(
            f"storage.url: cannot write {file}: {error.strerror or error}; choose a path that this"
            " user may write, or set STEPWELL_DATA_DIR"
        ) from None


def _explain(url: URL, error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    reason = (str(cause) or type(cause).__name__).strip().splitlines()[0]
    for secret in urls.secrets(url):
        reason = reason.replace(secret, "***")
    if isinstance(error, TypeError):
        advice = "check the parameters behind the '?' of the URL"
    elif url.get_backend_name() == "postgresql":
        advice = "check that it runs and that host, port, user, password and database are right"
    else:
        advice = "check that the file is a SQLite database that this user may write"
    return f"storage.url: cannot open {urls.shown(url)}: {reason}; {advice}"
