"""Prints batches: one with what it cost, or the latest in a table."""

from collections.abc import Sequence
from datetime import UTC, datetime

from openai.types import Batch
from rich.console import Console

from deploy.cli.batch.figures import Figures, figures, percent, usd
from deploy.cli.console import columns, say
from deploy.cli.replay.trace import one_line

MAX_ERRORS = 20


def show_batch(console: Console, batch: Batch) -> None:
    """What it came to so far, or in the end."""
    now = figures(batch)
    say(console, f"{one_line(batch.id)}: {now.status.replace('_', ' ')}")
    table = columns("", "what")
    table.title, table.show_header = None, False
    table.add_column("figure", justify="right")
    for name, value in (*_lines(now), *_money(now)):
        table.add_row(name, value)
    console.print(table)


def show_errors(console: Console, batch: Batch, line_of: Sequence[int] | None = None) -> None:
    """Why a batch failed. `line_of`: of each line that was sent, its number in the user's file."""
    found = (batch.errors.data if batch.errors is not None else None) or []
    for error in found[:MAX_ERRORS]:
        number = error.line
        if number is not None and line_of is not None and 0 < number <= len(line_of):
            number = line_of[number - 1]
        where = "" if number is None else f"line {number}: "
        say(console, one_line(f"{where}{error.message or error.code}"))
    if len(found) > MAX_ERRORS:
        say(console, f"and {len(found) - MAX_ERRORS:,} more")


def show_list(console: Console, batches: Sequence[Batch]) -> None:
    """Newest first, as they came."""
    table = columns("Batches", "id", "status", "created")
    for name in ("lines", "succeeded", "failed", "cost $", "saved $"):
        table.add_column(name, justify="right")
    for batch in batches:
        now = figures(batch)
        table.add_row(
            one_line(batch.id),
            now.status,
            _when(batch.created_at),
            *(f"{n:,}" for n in (now.total, now.completed, now.failed)),
            usd(now.cost),
            usd(now.saved),
        )
    console.print(table)


def _lines(now: Figures) -> list[tuple[str, str]]:
    found = [("lines", now.total), ("succeeded", now.completed), ("failed", now.failed)]
    found += [(f"answered by {name}", lines) for name, lines in now.tiers.items()]
    found += [(f"{what} to providers' batches", lines) for what, lines in now.waiting.items()]
    return [(name, f"{lines:,}") for name, lines in found]


def _money(now: Figures) -> list[tuple[str, str]]:
    saved = usd(now.saved)
    if now.saved is not None and now.baseline:
        saved += f" ({percent(now.saved, now.baseline)})"
    cost = [("cost $", usd(now.cost)), ("would have cost $", usd(now.baseline))]
    return [*cost, ("saved $", saved)]


def _when(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
