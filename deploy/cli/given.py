"""What several commands are given: a configuration, times, the database that it names."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from serving.settings.root import Settings
    from serving.storage.database import Database

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Config = Annotated[
    Path | None,
    typer.Argument(metavar="CONFIG", help="A YAML configuration (default: the mock stack's)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of(config: Path | None) -> "Settings":
    """Of that file, or of the mock stack."""
    from deploy.paths import default_config  # noqa: PLC0415
    from serving.settings.load import load_settings  # noqa: PLC0415

    return load_settings(config or default_config())


def moment(text: str | None, now: datetime, option: str) -> datetime | None:
    """A time as the command line gives it: an age (`7d`), a date, or a time (UTC unless it says
    otherwise).
    """
    if text is None:
        return None
    if age := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        try:
            return now - timedelta(**{UNITS[age[2]]: int(age[1])})
        except OverflowError:
            raise typer.BadParameter(f"{text} is too long ago", param_hint=option) from None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither an age such as 7d nor a date such as 2026-11-21",
            param_hint=option,
        ) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


@asynccontextmanager
async def database_of(settings: "Settings") -> "AsyncIterator[Database]":
    """Open for as long as the context lasts; `ConfigError` where a server has never made it."""
    from deploy.paths import database_url  # noqa: PLC0415
    from serving.storage.database import Database  # noqa: PLC0415

    database = await Database.open(database_url(settings), must_exist=True)
    try:
        yield database
    finally:
        await database.close()
