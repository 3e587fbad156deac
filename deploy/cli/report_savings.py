"""The part of the report that says which lever saved what."""

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from rich.table import Table

from deploy.cli.console import columns
from serving.costs.attribution import LEVERS, Parts
from serving.costs.report import Line

SHOWN: dict[str, str] = {
    "exact_cache": "cache: same question",
    "semantic_cache": "cache: in other words",
    "routing": "routing",
    "prompt_caching": "prompt caching",
    "batch": "batch",
    "flex": "flex",
    "checks": "checks and lookups",
    "unanswered": "no answer came of it",
    "unattributed": "not attributed",
}
"""Every part, in the order in which the levers are taken."""


def savings(line: Line) -> Table:
    """The parts of baseline less spend. A lever that did nothing is shown as such; of what is no
    lever only what there is.
    """
    table = columns("Savings, by lever", "lever")
    table.add_column("saved", justify="right")
    table.add_column("of the baseline", justify="right")
    table.add_row("baseline", usd(line.baseline_usd), _share(line.baseline_usd, line))
    for name, shown in SHOWN.items():
        part: Decimal = getattr(line.parts, name)
        if part or name in LEVERS:
            table.add_row(shown, usd(part), _share(part, line))
    table.add_section()
    table.add_row("baseline less spend", usd(line.parts.total), _share(line.parts.total, line))
    return table


def parts_wire(line: Line) -> dict[str, Any]:
    """Each part with its share of the baseline, null where there is no baseline."""
    parts: dict[str, Decimal] = asdict(line.parts)
    return {
        name: {"saved_usd": part, "share": _ratio(part, line)} for name, part in parts.items()
    } | {"total": {"saved_usd": line.parts.total, "share": _ratio(line.parts.total, line)}}


def unattributed_note(parts: Parts) -> str | None:
    """What a reader must know of the part that no lever has."""
    if not parts.unattributed:
        return None
    return (
        f"${usd(parts.unattributed)} of baseline less spend could not be attributed: rows without a"
        " known price, or from before the parts were noted."
    )


def usd(amount: Decimal) -> str:
    """Cents for large sums, more digits for small ones, so that a cheap call is no zero."""
    if abs(amount) >= 100:
        return f"{amount:,.2f}"
    return f"{amount:.4f}" if abs(amount) >= 1 or not amount else f"{amount:.6f}"


def _ratio(part: Decimal, line: Line) -> float | None:
    return float(part / line.baseline_usd) if line.baseline_usd else None


def _share(part: Decimal, line: Line) -> str:
    ratio = _ratio(part, line)
    return "-" if ratio is None else f"{ratio:.1%}"
