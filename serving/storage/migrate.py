"""Brings a database to this version's schema, through Alembic, under a lock."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.errors import ConfigError

VERSION_TABLE = "stepwell_schema"
ADVISORY_LOCK = 0x5354_4550_5745_4C4C  # any number that only Stepwell uses

# Alembic's `op` and `context` belong to the process, so two databases that are opened at once
# in one process must take turns, whatever their event loops.
_turn = threading.Lock()


async def migrate(connection: AsyncConnection) -> None:
    """Applies the migrations that are missing, inside the connection's open transaction.

    On SQLite the transaction must hold the write lock already; on PostgreSQL an advisory lock is
    taken and held until the transaction ends. `ConfigError` where the schema is newer than this
    version of Stepwell knows.
    """
    if connection.dialect.name == "postgresql":
        lock = text("SELECT pg_advisory_xact_lock(:key)")
        await connection.execute(lock, {"key": ADVISORY_LOCK})
    async with _alone():
        await connection.run_sync(_upgrade)


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    while not _turn.acquire(blocking=False):  # noqa: ASYNC110 - an Event belongs to one loop
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        _turn.release()


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    here, head = set(context.get_current_heads()), set(scripts.get_heads())
    unknown = sorted(here - {script.revision for script in scripts.walk_revisions()})
    if unknown:
        raise ConfigError(
            f"the database's schema ({', '.join(unknown)}) is newer than this version of Stepwell"
            f" knows ({scripts.get_current_head()}): upgrade Stepwell, or use another database"
        )
    if here == head:
        return
    command.upgrade(config, "head")
    if set(context.get_current_heads()) != head:
        raise RuntimeError("Alembic ran, but the schema is not at its head")


def _config() -> Config:
    config = Config()
    # Alembic reads its options through configparser, where % is special.
    where = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", where)
    return config
