"""`stepwell outcomes`."""

import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

import typer

from deploy.cli.console import errors, say
from deploy.cli.given import Config, database_of, moment, settings_of

if TYPE_CHECKING:
    from serving.settings.root import Settings

STDOUT = Path("-")

outcomes = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="What spot checks found: one request, several tiers' answers.",
)


@outcomes.command("export")
def export(
    config: Config = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A .jsonl or .jsonl.gz file, - for stdout.")
    ] = STDOUT,
    task: Annotated[str | None, typer.Option(help="Only this task class.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From when: 7d, 24h, or a date or time, UTC.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to, but not including.")] = None,
) -> None:
    """Write the outcomes log as JSON Lines, oldest first.

    Texts stand in it only for tasks whose spot checks store them.
    """
    import asyncio  # noqa: PLC0415

    if out != STDOUT and not os.access(out.parent, os.W_OK):
        raise typer.BadParameter(f"can't write into {out.parent}", param_hint="--out")
    now = datetime.now(UTC)
    times = {"since": moment(since, now, "--since"), "until": moment(until, now, "--until")}
    settings = settings_of(config)
    chosen = {**times, "tenant": tenant, "task": task}
    with _sink(out) as sink:
        count = asyncio.run(_export(settings, sink, chosen))
    say(errors(), f"{count} outcomes written")


async def _export(settings: "Settings", sink: IO[bytes], chosen: Mapping[str, Any]) -> int:
    import orjson  # noqa: PLC0415

    from serving.storage.outcomes import export_outcomes  # noqa: PLC0415

    count = 0
    async with database_of(settings) as database:
        rows: AsyncIterator[dict[str, Any]] = export_outcomes(database, **chosen)
        async for row in rows:
            # Nothing else runs in this loop, so a blocking write holds up nobody.
            sink.write(orjson.dumps(row) + b"\n")
            count += 1
    return count


@contextmanager
def _sink(out: Path) -> Iterator[IO[bytes]]:
    """Where lines go. A file appears under its name only when it is whole."""
    if out == STDOUT:
        yield sys.stdout.buffer
        return
    import gzip  # noqa: PLC0415

    partial = out.with_name(out.name + ".partial")
    try:
        with partial.open("wb") as raw:
            if out.suffix == ".gz":
                with gzip.open(raw, "wb") as packed:
                    yield cast("IO[bytes]", packed)
            else:
                yield raw
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
