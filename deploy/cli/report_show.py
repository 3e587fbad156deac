"""Prints the report, and what must be said beside its figures."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from cache.semantic.rate import rate
from deploy.cli.console import columns, say
from deploy.cli.report_savings import parts_wire, savings, unattributed_note, usd
from serving.costs.report import Breakdown, Line, Report, Unsettled
from serving.settings.root import Settings
from serving.storage.semantic import Tally

MONEY_COLUMNS = ("spend", "baseline", "savings", "recoverable")
COUNT_COLUMNS = (
    "requests",
    "cache\nhits",
    "accepted",
    "best\neffort",
    "escalated",
    "failed,\ncut off",
    "output\ntokens",
)


def show(console: Console, settings: Settings, report: Report) -> None:
    """Tables in USD, then notes."""
    window = f"{_time(report.since)} to {_time(report.until)}"
    tenant = "" if report.tenant is None else f", tenant {_printable(report.tenant)}"
    say(console, f"{window} UTC{tenant}")
    if not report.total.rows and not report.unsettled.calls:
        say(console, "The ledger has no rows here.")
        return
    for breakdown in report.breakdowns:
        console.print(_breakdown(breakdown, report.total))
    console.print(savings(report.total))
    if report.lost:
        console.print(_lost(report))
    if report.capacity:
        console.print(_capacity(report))
    for note in notes(settings, report):
        say(console, f"* {note}")


def notes(settings: Settings, report: Report) -> Iterator[str]:
    """What a reader of the figures must know, one sentence or two each."""
    total, unsettled = report.total, report.unsettled
    baseline = settings.baseline_tier
    yield f"Baseline: {baseline.name} ({baseline.model}), for the answers that clients got."
    if total.simulated:
        share = f"{total.simulated:,} of {_many(total.rows, 'row')}"
        yield f"Simulated: {share}, whose answers a mock gave."
    if settings.mode == "observe":
        yield "Observe mode: the baseline answers everything; only prompt caching can save."
    yield from _uncertain(total)
    if unsettled.calls:
        yield _unsettled(unsettled)
    if total.checking_usd or total.spot_checks or total.cache_checks:
        checks = _many(total.spot_checks, "spot check")
        tried = f" and {_many(total.cache_checks, 'attempt')} to check cache hits"
        hits = tried if total.cache_checks else ""
        yield f"Spend includes ${usd(total.checking_usd)} for {checks}{hits}."
    if total.semantic_hits:
        yield semantic_note(total.semantic_hits, report.checked_hits)
    if total.embeddings:
        calls = _many(total.embeddings, "call")
        yield f"Embeddings: {calls}, in all figures; their baseline is what they cost."
    if (note := unattributed_note(total.parts)) is not None:
        yield note
    if report.capacity:
        yield "Spend counts a GPU's busy share only; capacity is what its owner pays, idle too."
    for where in uncalibrated(settings):
        yield f"{where} is not calibrated on its tier's own outcomes: its quality is unproven."


def semantic_note(hits: int, checked: Mapping[str, Tally]) -> str:
    """How many answers came to rephrasings, and how often that was wrong as far as audits tell."""
    wrong, audited = (
        sum(t.wrong for t in checked.values()),
        sum(t.checked for t in checked.values()),
    )
    said = f"{_many(hits, 'cache hit')} answered a question in other words"
    if not audited:
        return f"{said}; none was audited, so how many were wrong is not known."
    found = rate(wrong, audited)
    interval = f"95% interval {found.low:.1%} to {found.high:.1%}"
    return f"{said}; of {audited:,} audited {wrong:,} wrong, {found.estimate:.1%} ({interval})."


def uncalibrated(settings: Settings) -> tuple[str, ...]:
    """Gates of real tiers whose thresholds were not fitted, by their place in the settings."""
    real = {tier.name: tier for tier in settings.tiers if not tier.simulated}
    gates = {f"tiers.{t.name}.gate": t.gate for t in real.values()}
    for task in (*settings.tasks, settings.default_task):
        gates |= {f"tasks.{task.name}.gates.{n}": g for n, g in task.gates.items() if n in real}
    return tuple(where for where, gate in gates.items() if gate and not gate.calibrated)


def wire(settings: Settings, report: Report) -> dict[str, Any]:
    """The report as JSON values: money as exact decimal strings, null where unknown."""
    capacity = [asdict(c) | {"utilisation": c.utilisation} for c in report.capacity]
    figures = {
        "since": report.since,
        "until": report.until,
        "tenant": report.tenant,
        "total": _line_wire(report.total),
        "by": {b.by: [_line_wire(line) for line in b.lines] for b in report.breakdowns},
        "groups": {b.by: b.groups for b in report.breakdowns},
        "recoverable": [asdict(lost) for lost in report.lost],
        "unsettled": asdict(report.unsettled),
        "capacity": capacity,
        "checked_hits": {t: asdict(tally) for t, tally in report.checked_hits.items()},
        "uncalibrated_gates": list(uncalibrated(settings)),
        "notes": list(notes(settings, report)),
    }
    plain: dict[str, Any] = _plain(figures)
    return plain


def _line_wire(line: Line) -> dict[str, Any]:
    derived = {"savings_usd": line.savings_usd, "simulated_share": line.simulated_share}
    return asdict(line) | derived | {"parts": parts_wire(line)}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value.normalize() if value else Decimal(0), "f")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _breakdown(breakdown: Breakdown, total: Line) -> Table:
    shown = len(breakdown.lines)
    which = "latest" if breakdown.by == "day" else "dearest"
    rest = "" if shown == breakdown.groups else f", the {shown} {which} of {breakdown.groups:,}"
    table = columns(f"By {breakdown.by}{rest}", breakdown.by)
    for name in (*COUNT_COLUMNS, *MONEY_COLUMNS):
        table.add_column(name, justify="right")
    table.add_column("simulated")
    for line in breakdown.lines:
        table.add_row(_printable(line.name) if line.name is not None else "-", *_cells(line))
    table.add_section()
    table.add_row("all", *_cells(total))
    return table


def _cells(line: Line) -> list[str]:
    counts = (
        line.requests,
        line.cache_hits,
        line.accepted,
        line.best_effort,
        line.escalated,
        line.failed + line.cancelled,
        line.output_tokens,
    )
    more = "+" if line.unpriced else ""
    return [
        *(f"{n:,}" for n in counts),
        usd(line.spend_usd) + more,
        usd(line.baseline_usd) + ("+" if line.unpriced_baseline else ""),
        "unknown" if line.savings_usd is None else _saved(line.savings_usd, line.baseline_usd),
        usd(line.recoverable_usd),
        _simulated(line),
    ]


def _simulated(line: Line) -> str:
    if not line.simulated:
        return ""
    return "all" if line.simulated == line.rows else f"{line.simulated_share:.0%}"


def _lost(report: Report) -> Table:
    table = columns("Recoverable, by reason", "tier", "end", "reason")
    table.add_column("attempts", justify="right")
    table.add_column("spend", justify="right")
    for lost in report.lost:
        reason = _printable(lost.reason)[:80]
        spend = usd(lost.cost_usd) + ("+" if lost.unpriced else "")
        table.add_row(_printable(lost.tier), lost.outcome, reason, f"{lost.attempts:,}", spend)
    return table


def _capacity(report: Report) -> Table:
    table = columns("Capacity of GPU tiers, all tenants", "tier")
    for name in ("GPUs", "hours", "capacity", "busy share of it", "utilisation"):
        table.add_column(name, justify="right")
    table.add_column("simulated")
    for tier in report.capacity:
        used = tier.utilisation
        table.add_row(
            _printable(tier.tier),
            f"{tier.gpus}",
            f"{tier.hours:,.2f}",
            usd(tier.capacity_usd),
            usd(tier.marginal_usd),
            "-" if used is None else f"{used:.1%}",
            "all" if tier.simulated else "",
        )
    return table


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _saved(savings: Decimal, baseline: Decimal) -> str:
    share = f" ({savings / baseline:.0%})" if baseline else ""
    return f"{usd(savings)}{share}"


def _time(when: datetime | None) -> str:
    return "the start" if when is None else when.strftime("%Y-%m-%d %H:%M")


def _printable(text: str) -> str:
    """Clients choose some names; a terminal must not take orders from them."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _unsettled(found: Unsettled) -> str:
    more = f", and {found.unpriced:,} without a known price" if found.unpriced else ""
    calls = f"{_many(found.calls, 'hosted call')}, the oldest from {_time(found.oldest)}"
    return (
        f"Not settled (under way, or cut off by a crash): {calls};"
        f" up to ${usd(found.at_most_usd)}{more} more than the spend."
    )


def _uncertain(total: Line) -> Iterator[str]:
    if total.unpriced:
        yield f"No known price: {_many(total.unpriced, 'row')}; spend is more than what is shown."
    if total.unpriced_baseline:
        yield f"No known baseline: {_many(total.unpriced_baseline, 'answer')}; savings are unknown."
    if total.estimated:
        text = f"Broke off or came without usage: {_many(total.estimated, 'row')}"
        yield f"{text}, counted with the most that they can have cost."
