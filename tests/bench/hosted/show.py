"""The worked example's results as tables, sentences and figures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from rich.table import Table

from tests.bench.hosted.arithmetic import PRICES, SPLITS
from tests.bench.hosted.judged import Judged
from tests.bench.hosted.stages import TIERS


def tables(judged: Sequence[Judged]) -> Iterator[Table]:
    yield _money(judged)
    yield _calls(judged)


def _money(judged: Sequence[Judged]) -> Table:
    table = Table(
        "stage",
        "ledger",
        "arithmetic",
        "ledger - arithmetic",
        "second half",
        "account",
        "published",
        "ledger - published",
        title="USD a day (simulated)",
    )
    for each in judged:
        ledger, arithmetic = each.day(each.ledger), each.day(each.arithmetic)
        published = each.ran.stage.published
        table.add_row(
            each.ran.stage.name,
            _usd(ledger),
            _usd(arithmetic),
            f"{ledger - arithmetic:+,.2f}",
            _usd(each.settled),
            _usd(each.day(each.account)),
            f"{published:,}",
            f"{ledger - published:+,.2f}",
        )
    return table


def _calls(judged: Sequence[Judged]) -> Table:
    """What became of the prompts, by stage and model."""
    title = "Calls by what became of their prompt"
    seen = {split for each in judged for _, _, split in each.counts}
    shown = [split for split in SPLITS if split in seen]
    names = (SPLITS[split] for split in shown)
    table = Table("stage", "model", "calls", *names, "USD a day", title=title)
    for each in judged:
        keys = sorted({(model, batch) for model, batch, _ in each.counts})
        for model, batch in keys:
            found = [each.counts[model, batch, split] for split in shown]
            usd = sum(
                (r.usd or Decimal(0) for r in each.ran.rows if _is(r, model, batch=batch)),
                Decimal(0),
            )
            name = f"{model} (batch)" if batch else model
            counts = [f"{n:,}" for n in (sum(found), *found)]
            table.add_row(each.ran.stage.name, name, *counts, _usd(each.day(usd)))
    return table


def _is(row: Any, model: str, *, batch: bool) -> bool:
    return bool(row.model == model and (row.feature == "batch") == batch)


def sayings(judged: Sequence[Judged]) -> Iterator[str]:
    """What the planner said of each model's first and last call, and how often."""
    last = judged[-1].ran
    for model in PRICES:
        for said in last.said:
            if said.model == model:
                yield f"{TIERS[model]}, call {said.number:,}: {said.decision}: {said.reason}"
    counted = Counter({key: n for key, n in last.outcomes.items() if n})
    yield "The planner's count: " + ", ".join(
        f"{tier} {word} {n:,}" for (tier, word), n in sorted(counted.items())
    )


def figures(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Per stage, USD a day as text."""
    return [
        {
            "stage": each.ran.stage.name,
            "calls": len(each.ran.calls),
            "ledger": str(each.day(each.ledger)),
            "arithmetic": str(each.day(each.arithmetic)),
            "second_half": str(each.settled),
            "account": str(each.day(each.account)),
            "published": each.ran.stage.published,
            "calls_by_prompt": {
                f"{model}{' batch' if batch else ''}: {SPLITS[split]}": n
                for (model, batch, split), n in sorted(each.counts.items())
            },
            "wrong": list(each.wrong),
        }
        for each in judged
    ]


def _usd(amount: Decimal) -> str:
    return f"{amount:,.2f}"
