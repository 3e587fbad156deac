"""Database URLs as users write them, turned into what the drivers take."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from serving.errors import ConfigError

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


def parse(url: str) -> URL:
    """The URL with its async driver. `ConfigError`, without the URL's password, where it is no
    URL or names a database that Stepwell does not support.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "storage.url: not a database URL; write sqlite:///path/to/file.db or"
            " postgresql://user:password@host:5432/database"
        ) from None
    driver = DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigError(
            f"storage.url: '{parsed.drivername}' is not supported; use sqlite:/// or postgresql://"
        )
    parsed = parsed.set(drivername=driver)
    # libpq's name for it stands in most providers' URLs; asyncpg calls it `ssl`.
    mode = parsed.query.get("sslmode")
    if mode is not None and parsed.get_backend_name() == "postgresql":
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return parsed


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite URL; None for PostgreSQL and for a database in memory."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def secrets(url: URL) -> tuple[str, ...]:
    """What must not be shown of the URL: its password, and such parameters."""
    found = [url.password] if url.password else []
    for name, value in url.query.items():
        if _secret(name):
            found += [value] if isinstance(value, str) else value
    return tuple(str(secret) for secret in found if secret)


def shown(url: URL) -> str:
    """The URL for messages, without its secrets."""
    masks = {name: "***" for name in url.query if _secret(name)}
    return url.update_query_dict(masks).render_as_string(hide_password=True)


def _secret(parameter: str) -> bool:
    return any(word in parameter.lower() for word in ("pass", "key", "secret", "token"))
