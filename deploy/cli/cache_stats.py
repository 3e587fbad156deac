"""`stepwell cache stats`."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.console import output, print_json, say
from deploy.cli.given import AsJson, Config, database_of, moment, settings_of

if TYPE_CHECKING:
    from cache.semantic.rate import Rate
    from serving.settings.root import Settings
    from serving.storage.semantic import Shelved

Since = Annotated[
    str, typer.Option(help="Checked hits from when: 30d, 24h, or a date or time, UTC.")
]


@dataclass(frozen=True, slots=True)
class Stats:
    """What is stored, and by task how often audited hits were wrong."""

    shelved: "list[Shelved]"
    rates: "dict[str, Rate]"
    cuts: dict[str, float | None]


def stats(config: Config = None, *, since: Since = "30d", as_json: AsJson = False) -> None:
    """Print what the semantic cache holds, what it saved, and how often it was wrong.

    Of what the server knows beside the database, its counts of the last seconds are missing.
    """
    import asyncio  # noqa: PLC0415

    start = moment(since, datetime.now(UTC), "--since")
    assert start is not None
    found = asyncio.run(_read(settings_of(config), start))
    if as_json:
        print_json(wire(found))
    else:
        _show(found)


def wire(found: Stats) -> dict[str, Any]:
    """As JSON; money as decimal strings in USD, an unlimited cut as null."""
    return {
        "stored": [{**asdict(s), "saved_usd": f"{s.saved_usd:f}"} for s in found.shelved],
        "false_hits": {task: asdict(rate) for task, rate in found.rates.items()},
        "cuts": found.cuts,
    }


async def _read(settings: "Settings", since: datetime) -> Stats:
    from cache.semantic.rate import rate  # noqa: PLC0415
    from serving.storage.semantic import SemanticEvidence, shelved  # noqa: PLC0415

    async with database_of(settings) as database:
        evidence = SemanticEvidence(database)
        tallies = await evidence.tallies(since=since)
        saved = await evidence.thresholds()
        return Stats(
            await shelved(database),
            {task: rate(tally.wrong, tally.checked) for task, tally in tallies.items()},
            {task: _cut(settings, task, state) for task, state in sorted(saved.items())},
        )


def _cut(settings: "Settings", task: str, state: dict[str, Any]) -> float | None:
    """The score from which on the task's hits are given; None where none are."""
    from cache.threshold import NOTHING, Threshold  # noqa: PLC0415

    semantic = (settings.task(task) or settings.default_task).cache.semantic
    threshold = Threshold(semantic.delta, semantic.confidence)
    threshold.restore(state)
    score = threshold.cut.score
    return None if score == NOTHING else score


def _show(found: Stats) -> None:
    from deploy.cli.console import columns  # noqa: PLC0415

    console = output()
    if not found.shelved:
        say(console, "The semantic cache is empty.")
    else:
        table = columns("Stored", "tenant", "task")
        for title in ("entries", "kB", "hits", "saved $"):
            table.add_column(title, justify="right")
        for s in found.shelved:
            figures = (f"{s.entries:,}", f"{s.bytes / 1_000:,.0f}", f"{s.hits:,}")
            table.add_row(s.tenant, s.task, *figures, f"{s.saved_usd:,.6f}")
        console.print(table)
    table = columns("Decision", "task")
    for title in ("cut", "hits checked", "wrong", "false-hit rate", "95% interval"):
        table.add_column(title, justify="right")
    for task in sorted(found.rates.keys() | found.cuts.keys()):
        table.add_row(task, _cut_text(found.cuts.get(task)), *rate_cells(found.rates.get(task)))
    if found.rates or found.cuts:
        console.print(table)


def _cut_text(cut: float | None) -> str:
    return "none" if cut is None else f"{cut:.2f}"


def rate_cells(rate: "Rate | None") -> tuple[str, str, str, str]:
    """Checked, wrong, estimate and interval."""
    if rate is None or not rate.checked:
        return "0", "0", "unknown", "-"
    interval = f"{rate.low:.1%} to {rate.high:.1%}"
    return f"{rate.checked:,}", f"{rate.wrong:,}", f"{rate.estimate:.1%}", interval
