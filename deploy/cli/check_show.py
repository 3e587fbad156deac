"""Prints what `check` found."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from deploy.cli.check import Examined
from deploy.cli.check_plans import show_memory, show_money
from deploy.cli.console import columns, say
from deploy.cli.findings import Level
from deploy.cli.resolved import GateView, TaskView, TierView

ORDER: tuple[Level, ...] = ("error", "warning", "off", "note")
TITLES: dict[Level, str] = {
    "error": "Can't work",
    "warning": "Beware",
    "off": "Off, and why",
    "note": "Notes",
}


def show(console: Console, config: str, found: Examined) -> None:
    resolved, findings = found.resolved, found.findings
    say(console, f"{config}: {resolved.mode}, {resolved.runtime} runtime")
    console.print(_tiers(resolved.tiers))
    console.print(_prices(resolved.tiers))
    show_memory(console, found.memory, found.mix)
    show_money(console, found.money, found.mix)
    console.print(_tasks(resolved.tasks))
    say(console, f"listens on {resolved.listens}; API keys: {resolved.keys}")
    say(console, f"baseline: {resolved.baseline}; storage: {resolved.storage or '-'}")
    for level in ORDER:
        some = [f for f in findings if f.level == level]
        if some:
            say(console, f"\n{TITLES[level]}:")
        for finding in some:
            say(console, f"  {finding.where}: {finding.message}")
    if found.works and found.elsewhere:
        say(console, "\nThis configuration can serve where there is what this host lacks.")
    elif found.works:
        say(console, "\nThis configuration can serve.")


def _tiers(tiers: Sequence[TierView]) -> Table:
    table = columns("Tiers, cheapest first", "tier", "model", "effort", "engine", "answers")
    for name in ("deadline s", "max tokens"):
        table.add_column(name, justify="right")
    table.add_column("gate", overflow="fold")
    for tier in tiers:
        table.add_row(
            tier.name,
            tier.model,
            tier.effort or "-",
            tier.engine + (f" at {tier.endpoint}" if tier.endpoint else ""),
            "simulated" if tier.simulated else "real",
            f"{tier.deadline_s:g}",
            f"{tier.max_tokens}",
            _gate(tier.gate),
        )
    return table


def _prices(tiers: Sequence[TierView]) -> Table:
    table = columns("Prices, USD per million tokens", "tier")
    for name in ("input", "output", "cache read", "cache write"):
        table.add_column(name, justify="right")
    table.add_column("since")
    table.add_column("source", overflow="fold")
    for tier in tiers:
        price = tier.price or {}
        rates = [price.get(k, "unknown") for k in ("input", "output", "cache_read", "cache_write")]
        table.add_row(tier.name, *rates, price.get("since", "-"), price.get("source", "-"))
    return table


def _gate(gate: GateView | None) -> str:
    if gate is None:
        return "-"
    calibrated = "calibrated" if gate.calibrated else "not calibrated"
    return f"mean {gate.min_mean:g}, window {gate.min_window:g}, {calibrated}"


def _tasks(tasks: Sequence[TaskView]) -> Table:
    titles = ("task", "start", "max", "exact cache", "gate", "validators")
    table = columns("Tasks, first match wins", *titles)
    table.add_column("spot checks", justify="right")
    for task in tasks:
        table.add_row(
            task.name + (" (critical)" if task.critical else ""),
            task.start or "planned",
            task.max or "-",
            "-" if task.cache_ttl_s is None else f"{task.cache_ttl_s:g} s",
            task.gate,
            ", ".join(task.validators) or "-",
            f"{task.spot_check_share:.1%}",
        )
    return table
