"""`stepwell cache warm`."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import errors, output, say
from deploy.cli.given import Config, settings_of

if TYPE_CHECKING:
    from cache.semantic.warm import Filling
    from deploy.cli.warm_lines import Reader
    from serving.settings.root import Settings

MAX_SHOWN = 20

Log = Annotated[
    Path,
    typer.Argument(
        metavar="LOG",
        help="JSON Lines, plain or gzip: chat bodies with their answers.",
        exists=True,
        dir_okay=False,
    ),
]
Tenant = Annotated[
    str | None, typer.Option(help="Whose answers they are (default: that of the anonymous caller).")
]
Key = Annotated[
    str | None,
    typer.Option(help="The id of the key that will ask: its tenant and its limits, instead."),
]
Tier = Annotated[
    str | None,
    typer.Option(help="Whose answers they are where the log names no known model."),
]


@dataclass(slots=True)
class Outcome:
    """Lines by what became of them; `bad` are those at fault."""

    lines: int = 0
    kept: int = 0
    repeated: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str]] = field(default_factory=list)


def warm(
    log: Log,
    config: Config = None,
    *,
    tenant: Tenant = None,
    key: Key = None,
    tier: Tier = None,
) -> None:
    """Fill the semantic cache from a log, so that the first day is not cold.

    A line is a chat body whose answer stands in `answer` (a text), in `response` (OpenAI's object)
    or in its last message; or an object with `request` and `response`. Of the same question in the
    same scope the last answer is kept. A running server learns of it within cache.semantic.poll_s.
    """
    import asyncio  # noqa: PLC0415

    from deploy.cli.warm_lines import Reader, caller  # noqa: PLC0415
    from serving.errors import ConfigError  # noqa: PLC0415

    if tenant is not None and key is not None:
        raise typer.BadParameter("give --tenant or --key, not both", param_hint="--tenant")
    settings = settings_of(config)
    if not settings.cache.semantic.enabled:
        raise ConfigError("cache.semantic.enabled is false: nothing would use these answers")
    if tier is not None and all(tier != t.name for t in settings.tiers):
        known = ", ".join(t.name for t in settings.tiers)
        raise typer.BadParameter(f"no tier {tier!r}; known: {known}", param_hint="--tier")
    reader = Reader(settings, caller(settings, tenant, key), tier)
    outcome = asyncio.run(_warm(log, settings, reader))
    _show(outcome)
    raise typer.Exit(1 if outcome.bad else 0)


async def _warm(log: Path, settings: "Settings", reader: "Reader") -> Outcome:
    from contextlib import AsyncExitStack  # noqa: PLC0415

    from cache.semantic.shelf import Shelf  # noqa: PLC0415
    from cache.semantic.warm import Filling  # noqa: PLC0415
    from deploy.asides import open_embedders  # noqa: PLC0415
    from deploy.paths import database_url  # noqa: PLC0415
    from deploy.semantic import open_embedder, shelf_settings  # noqa: PLC0415
    from serving.backend import new_id  # noqa: PLC0415
    from serving.storage.database import Database  # noqa: PLC0415
    from serving.storage.semantic import SemanticOrders  # noqa: PLC0415
    from serving.telemetry.metrics import Metrics  # noqa: PLC0415

    outcome = Outcome()
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        stack.callback(metrics.close)
        named = settings.embedder(settings.cache.semantic.embedder)
        own = await open_embedders([] if named is None else [named], stack, metrics)
        embedder, dimensions = await open_embedder(settings, own, stack)
        database = await Database.open(database_url(settings))
        stack.push_async_callback(database.close)
        shelf = await Shelf.open(
            database,
            embedder=embedder.name,
            dimensions=dimensions,
            settings=shelf_settings(settings.cache.semantic),
        )
        stack.push_async_callback(shelf.close)
        filling = Filling(
            embedder, shelf, lambda line, why: outcome.bad.append((line, why)), f"warm-{new_id()}"
        )
        await _fill(log, reader, filling, outcome)
        await SemanticOrders(database).fill()
    outcome.kept, outcome.repeated = filling.kept, filling.repeated
    return outcome


async def _fill(log: Path, reader: "Reader", filling: "Filling", outcome: Outcome) -> None:
    from deploy.cli.warm_lines import BadLine, Skipped  # noqa: PLC0415
    from serving.wire.jsonl_file import numbered  # noqa: PLC0415

    for number, raw in numbered(log):
        outcome.lines += 1
        try:
            past = reader.past(number, raw)
        except BadLine as bad:
            outcome.bad.append((number, str(bad)))
        except Skipped as skipped:
            outcome.skipped[str(skipped)] += 1
        else:
            await filling.add(past)
    await filling.finish()


def _show(outcome: Outcome) -> None:
    console, err = output(), errors()
    again = f", {outcome.repeated:,} times a question again" if outcome.repeated else ""
    kept = f"{outcome.kept:,} {'answer' if outcome.kept == 1 else 'answers'} kept"
    say(console, f"{outcome.lines:,} lines: {kept}{again}.")
    for reason, count in outcome.skipped.most_common(MAX_SHOWN):
        say(console, f"{count:,} not kept: {reason}")
    for number, reason in outcome.bad[:MAX_SHOWN]:
        say(err, f"line {number}: {reason}")
    if len(outcome.bad) > MAX_SHOWN:
        say(err, f"and {len(outcome.bad) - MAX_SHOWN:,} more lines at fault")
