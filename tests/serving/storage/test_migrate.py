"""The migrations lead to the schema that the code uses, whoever else opens the database."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text

from serving.errors import ConfigError
from serving.storage.database import Database
from serving.storage.migrate import VERSION_TABLE, _config
from serving.storage.schema import attempts, metadata
from tests.serving.storage.rows import attempt

ROOT = Path(__file__).parents[3]


def differences(connection: Connection) -> list[object]:
    options = {
        "version_table": VERSION_TABLE,
        "compare_type": True,
        "compare_server_default": True,
    }
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


async def test_migrated_schema_is_the_metadata(database: Database) -> None:
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_comparison_would_see_a_difference(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE attempts DROP COLUMN ttft_ms"))
        await connection.execute(text("DROP INDEX ix_attempts_request_id"))
    async with database.engine.connect() as connection:
        assert len(await connection.run_sync(differences)) == 2


async def test_opening_again_keeps_what_is_there(database: Database, database_url: str) -> None:
    async with database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO outcomes (id, request_id, created_at, tenant, tiers, compared_by)"
                " VALUES ('o', 'r', 0, 't', '{}', 'exact')"
            )
        )
    again = await Database.open(database_url)
    async with again.read() as connection:
        assert (await connection.execute(text("SELECT id FROM outcomes"))).scalar_one() == "o"
    await again.close()


def downgrade(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


async def test_an_older_database_is_brought_up_to_date_with_its_rows(
    database: Database, database_url: str
) -> None:
    """Here one from before attempts knew their conversation. Each migration also goes back."""
    async with database.begin() as connection:
        await connection.run_sync(downgrade, "0002")
        older = await connection.run_sync(lambda sync: inspect(sync).get_columns("attempts"))
        known = {column["name"] for column in older}
        assert "conversation" not in known
        values = {name: value for name, value in attempt("old").items() if name in known}
        await connection.execute(attempts.insert(), values)
    again = await Database.open(database_url)
    async with again.read() as connection:
        query = select(attempts.c.id, attempts.c.conversation)
        assert (await connection.execute(query)).one() == ("old", None)
    async with again.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await again.close()


async def test_many_open_at_once_in_one_process(database_url: str) -> None:
    opened = await asyncio.gather(*(Database.open(database_url) for _ in range(8)))
    async with opened[0].engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    for one in opened:
        await one.close()


async def test_two_databases_open_at_once_in_one_process(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("a", "b", "c")]
    opened = await asyncio.gather(*(Database.open(url) for url in urls))
    for one in opened:
        async with one.engine.connect() as connection:
            assert await connection.run_sync(differences) == []
        await one.close()


OPEN = """
import asyncio, sys
from serving.storage.database import Database

async def main():
    sys.stdin.readline()  # all start together
    database = await Database.open(sys.argv[1])
    await database.close()

asyncio.run(main())
"""


def test_many_processes_open_at_once(database_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", OPEN, database_url]
    openers = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    errors = [opener.communicate(timeout=60) for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * 4, errors


async def test_a_newer_schema_is_refused(database: Database, database_url: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"\(9999\) is newer .* upgrade Stepwell"):
        await Database.open(database_url)


async def test_a_failed_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    """DDL is part of the transaction on SQLite, too: here a foreign table is in the way."""
    url = f"sqlite:///{tmp_path / 'other.db'}"
    database = await Database.open(url)
    async with database.begin() as connection:
        for table in (*metadata.tables, VERSION_TABLE):
            await connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
        await connection.execute(text("CREATE TABLE audits (something INTEGER)"))
    await database.close()
    with pytest.raises(ConfigError, match="cannot open"):
        await Database.open(url)
    engine = (await _raw(url)).engine
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await engine.dispose()
    assert names == ["audits"]


async def _raw(url: str) -> Database:
    from sqlalchemy.ext.asyncio import create_async_engine

    return Database(create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:")))
