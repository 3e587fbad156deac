"""URLs as users write them."""

from pathlib import Path

import pytest

from serving.storage.url import parse, shown, sqlite_file


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///a.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///a.db", "sqlite+aiosqlite"),
        ("postgres://u@h/d", "postgresql+asyncpg"),
        ("postgresql://u@h/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg"),
    ],
)
def test_each_spelling_gets_its_async_driver(given: str, driver: str) -> None:
    assert parse(given).drivername == driver


def test_libpq_sslmode_becomes_what_asyncpg_knows() -> None:
    assert dict(parse("postgresql://u@h/d?sslmode=require&host=x").query) == {
        "ssl": "require",
        "host": "x",
    }


def test_the_file_of_a_url() -> None:
    assert sqlite_file(parse("sqlite:///a/b.db")) == Path("a/b.db")
    assert sqlite_file(parse("sqlite:////a/b.db")) == Path("/a/b.db")
    assert sqlite_file(parse("sqlite://")) is None
    assert sqlite_file(parse("postgresql://u@h/d")) is None


def test_a_shown_url_hides_every_secret() -> None:
    text = shown(
        parse("postgresql://u:s3cret@h/d?password=s3cret&sslkey=s3cret&application_name=x")
    )
    assert "s3cret" not in text
    assert "u:***@h/d" in text
    assert "application_name=x" in text
