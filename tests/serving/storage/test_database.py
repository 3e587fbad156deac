"""Opening a database, and what a wrong one is answered with."""

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.errors import ConfigError
from serving.storage.database import Database

SECRET = "pa55word"


async def pragma(database: Database, name: str) -> object:
    async with database.read() as connection:
        return (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()


async def test_sqlite_is_set_up_for_many_readers_and_a_writer(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'new' / 'folder' / 'a.db'}")
    assert await pragma(database, "journal_mode") == "wal"
    assert await pragma(database, "synchronous") == 1
    assert await pragma(database, "busy_timeout") == 10_000
    assert await pragma(database, "foreign_keys") == 1
    await database.close()


async def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    await (await Database.open(f"sqlite:///{file}")).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_transaction_that_fails_is_rolled_back(database: Database) -> None:
    insert = text(
        "INSERT INTO audits (id, request_id, created_at, tenant, request, trace)"
        " VALUES ('a', 'r', 0, 't', '{}', '{}')"
    )

    async def fail() -> None:
        async with database.begin() as connection:
            await connection.execute(insert)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM audits"))).scalar_one() == 0


async def test_a_write_goes_on_when_its_caller_is_cancelled(database: Database) -> None:
    async def work(connection: AsyncConnection) -> None:
        for i in range(200):
            await connection.execute(
                text(
                    "INSERT INTO audits (id, request_id, created_at, tenant, request, trace)"
                    " VALUES (:id, 'r', 0, 't', '{}', '{}')"
                ),
                {"id": str(i)},
            )

    writing = asyncio.create_task(database.write(work))
    await asyncio.sleep(0.02)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    async with asyncio.timeout(5), database.begin() as connection:
        count = (await connection.execute(text("SELECT count(*) FROM audits"))).scalar_one()
    if database.dialect == "sqlite":  # one writer at a time, so this one came after it
        assert count == 200
    await database.close()


async def test_concurrent_writers_all_get_their_turn(database: Database) -> None:
    async def write(i: int) -> None:
        async with database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO audits (id, request_id, created_at, tenant, request, trace)"
                    " VALUES (:id, 'r', 0, 't', '{}', '{}')"
                ),
                {"id": str(i)},
            )

    await asyncio.gather(*(write(i) for i in range(40)))
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM audits"))).scalar_one() == 40


async def test_a_read_sees_one_snapshot(database: Database) -> None:
    async with database.read() as reader:
        count = text("SELECT count(*) FROM audits")
        assert (await reader.execute(count)).scalar_one() == 0
        async with database.begin() as writer:
            await writer.execute(
                text(
                    "INSERT INTO audits (id, request_id, created_at, tenant, request, trace)"
                    " VALUES ('a', 'r', 0, 't', '{}', '{}')"
                )
            )
        assert (await reader.execute(count)).scalar_one() == 0


async def test_a_database_in_memory_serves_many_tasks() -> None:
    database = await Database.open("sqlite://")

    async def count() -> int:
        async with database.read() as connection:
            return int((await connection.execute(text("SELECT count(*) FROM audits"))).scalar_one())

    assert await asyncio.gather(*(count() for _ in range(5))) == [0] * 5
    await database.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("no url at all", "not a database URL; write sqlite:///"),
        ("mysql://u:pa55word@host/db", "'mysql' is not supported; use sqlite:/// or postgresql://"),
        ("postgresql://u:pa55word@127.0.0.1:1/db", "check that it runs"),
        ("postgresql://u@127.0.0.1:1/db?password=pa55word", "check that it runs"),
        ("postgresql://u:pa55word@127.0.0.1:1/db?nonsense=1", "parameters behind the '?'"),
    ],
)
async def test_a_wrong_url_is_explained_without_its_password(url: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await Database.open(url)
    assert says in caught.value.message
    assert SECRET not in caught.value.message
    assert caught.value.__cause__ is None


async def test_an_unknown_database_is_explained(postgres_server: str) -> None:
    url = postgres_server.replace("/postgres?", "/nowhere?")
    with pytest.raises(ConfigError, match='database "nowhere" does not exist; check'):
        await Database.open(url)


async def test_sslmode_is_understood(postgres_server: str) -> None:
    await (await Database.open(f"{postgres_server}&sslmode=require")).close()


async def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"pip install 'stepwell\[postgres\]'"):
        await Database.open("postgresql://u@127.0.0.1:1/db")


async def test_a_file_that_is_no_database_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("This is not a database, however long the text may be. " * 50)
    with pytest.raises(ConfigError, match="not a database; check that the file is"):
        await Database.open(f"sqlite:///{file}")


async def test_a_path_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="choose a path"):
        await Database.open(f"sqlite:///{tmp_path / 'file' / 'a.db'}")


async def test_a_reader_may_insist_that_the_database_exists(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with pytest.raises(ConfigError, match="start `stepwell serve` first"):
        await Database.open(f"sqlite:///{file}", must_exist=True)
    assert not file.exists()
