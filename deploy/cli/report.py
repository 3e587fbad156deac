"""`stepwell report`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import output, print_json
from deploy.cli.given import Config, database_of, moment, settings_of

if TYPE_CHECKING:
    from serving.costs.report import Report
    from serving.settings.root import Settings

TABLE_LINES = 20
JSON_LINES = 1_000


class Grouping(StrEnum):
    """By what lines can be drawn up."""

    TIER = "tier"
    FEATURE = "feature"
    SESSION = "session"
    DAY = "day"


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

    from deploy.cli.report_show import show, wire  # noqa: PLC0415

    now = datetime.now(UTC)
    start, end = moment(since, now, "--since"), moment(until, now, "--until") or now
    if start is not None and start >= end:
        raise typer.BadParameter("must be before --until", param_hint="--since")
    settings = settings_of(config)
    limit = JSON_LINES if as_json else TABLE_LINES
    computing = _compute(
        settings, by or tuple(Grouping), since=start, until=end, tenant=tenant, limit=limit
    )
    made = asyncio.run(computing)
    if as_json:
        print_json(wire(settings, made))
    else:
        show(output(), settings, made)


async def _compute(
    settings: "Settings",
    by: Sequence[Grouping],
    *,
    since: datetime | None,
    until: datetime,
    tenant: str | None,
    limit: int,
) -> "Report":
    from serving.costs.report import compute  # noqa: PLC0415
    from serving.costs.report_sql import GROUPINGS  # noqa: PLC0415

    async with database_of(settings) as database:
        return await compute(
            database,
            (*settings.tiers, *settings.embedders),
            by=[group for group in GROUPINGS if group in by],
            since=since,
            until=until,
            tenant=tenant,
            limit=limit,
        )
