"""`stepwell report`."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import output

if TYPE_CHECKING:
    from serving.costs.report import Report
    from serving.settings.root import Settings

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
TABLE_LINES = 20
JSON_LINES = 1_000


class Grouping(StrEnum):
    """By what lines can be drawn up."""

    TIER = "tier"
    FEATURE = "feature"
    SESSION = "session"
    DAY = "day"


Config = Annotated[
    Path | None,
    typer.Argument(metavar="CONFIG", help="A YAML configuration (default: the mock stack's)."),
]
Since = Annotated[
    str | None,
    typer.Option(help="From when: 7d, 24h, 30m, or a date or time, UTC (default: the start)."),
]
Until = Annotated[str | None, typer.Option(help="Up to, but not including (default: now).")]
By = Annotated[
    list[Grouping] | None,
    typer.Option(help="Only this grouping; may be repeated (default: all of them)."),
]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with exact figures.")]


def report(
    config: Config = None,
    *,
    since: Since = None,
    until: Until = None,
    by: By = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Print what was spent, what the baseline would have cost, and what could be recovered."""
    import asyncio  # noqa: PLC0415

    import orjson  # noqa: PLC0415

    from deploy.cli.report_show import show, wire  # noqa: PLC0415
    from deploy.paths import default_config  # noqa: PLC0415
    from serving.settings.load import load_settings  # noqa: PLC0415

    now = datetime.now(UTC)
    start, end = moment(since, now, "--since"), moment(until, now, "--until") or now
    if start is not None and start >= end:
        raise typer.BadParameter("must be before --until", param_hint="--since")
    settings = load_settings(config or default_config())
    limit = JSON_LINES if as_json else TABLE_LINES
    computing = _compute(
        settings, by or tuple(Grouping), since=start, until=end, tenant=tenant, limit=limit
    )
    made = asyncio.run(computing)
    if as_json:
        figures = wire(settings, made)
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    else:
        show(output(), settings, made)


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


async def _compute(
    settings: "Settings",
    by: Sequence[Grouping],
    *,
    since: datetime | None,
    until: datetime,
    tenant: str | None,
    limit: int,
) -> "Report":
    from deploy.paths import database_url  # noqa: PLC0415
    from serving.costs.report import compute  # noqa: PLC0415
    from serving.costs.report_sql import GROUPINGS  # noqa: PLC0415
    from serving.storage.database import Database  # noqa: PLC0415

    database = await Database.open(database_url(settings), must_exist=True)
    try:
        return await compute(
            database,
            (*settings.tiers, *settings.embedders),
            by=[group for group in GROUPINGS if group in by],
            since=since,
            until=until,
            tenant=tenant,
            limit=limit,
        )
    finally:
        await database.close()
