"""The figures as a section of docs/benchmarks.md and as JSON."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.gateway.contenders import LITELLM
from tests.bench.gateway.measure import Cell, Plan, pairs, tool
from tests.bench.gateway.rows import Row

BEGIN, END = "<!-- gateway: begin -->", "<!-- gateway: end -->"
VERSIONS = ("stepwell", "ray", "fastapi", "uvicorn", "uvloop", "anthropic")
INTRO = """## Gateway
What a gateway adds to a request, beside a LiteLLM proxy {litellm} in its own environment (one
worker, no database, its local cache on in the hit row). Stepwell writes its ledger (SQLite) in
every row. The upstream of both is a server that answers canned bytes; the mock tier waits for
nothing, its answers are computed. Requests are {prompts} short customer questions in turn.

`{command}`

{date}, {machine}. Client: {tool}. {runs} interleaved runs of {seconds:.0f} s each, shown as the
median and (least to most). Client, gateway and upstream share these cores. Each run opens its
connections anew, so p99 at many clients shows how they begin.
{versions}."""


@dataclass(frozen=True, slots=True)
class Report:
    """One whole run. `floors`: requests/s of the upstream alone, by number of clients. `ledger`:
    answers counted by the client and rows that the ledger held afterwards, by contender.
    """

    date: str
    command: str
    plan: Plan
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    floors: Mapping[int, float]
    ledger: Mapping[str, tuple[int, int]]
    notes: tuple[str, ...]


def machine() -> str:
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [s for s in info.read_text("utf-8").splitlines() if s.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({model}), Python {platform.python_version()}"


def versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def as_json(report: Report) -> str:
    body: dict[str, Any] = {
        "date": report.date,
        "command": report.command,
        "machine": machine(),
        "tool": tool(),
        "versions": versions() | {"litellm": LITELLM},
        "plan": asdict(report.plan),
        "upstream_per_s": report.floors,
        "ledger": {k: {"answers": a, "rows": r} for k, (a, r) in report.ledger.items()},
        "notes": report.notes,
        "cells": [asdict(cell) for cell in report.cells],
    }
    return json.dumps(body, indent=1) + "\n"


def as_markdown(report: Report) -> str:
    intro = INTRO.format(
        litellm=LITELLM,
        prompts=len(report.rows[0].bodies({})),
        command=report.command,
        date=report.date,
        machine=machine(),
        tool="wrk, for streams the bench's own" if tool() == "wrk" else "the bench's own",
        runs=report.plan.runs,
        seconds=report.plan.seconds,
        versions=", ".join(f"{name} {number}" for name, number in versions().items()),
    )
    parts = [intro]
    for row in report.rows:
        cells = [c for c in report.cells if c.row == row.name]
        if cells:
            parts.append(f"### {row.title[0].upper()}{row.title[1:]}\n{_table(row, cells)}")
    parts.append("\n".join(_footer(report)))
    return "\n\n".join(parts)


def into(path: Path, section: str) -> None:
    """Puts the section between its markers, or at the end where there are none."""
    text = path.read_text("utf-8") if path.exists() else ""
    body = f"{BEGIN}\n{section}\n{END}"
    head, found, rest = text.partition(BEGIN)
    if not found:
        head, rest = f"{text.rstrip()}\n\n", f"{END}\n"
    path.write_text(head + body + rest.partition(END)[2], "utf-8")


def _table(row: Row, cells: Sequence[Cell]) -> str:
    what = "tokens/s" if row.stream else "requests/s"
    first = "first token p50" if row.stream else "p50"
    lines = [
        f"| clients | | {first} ms | p99 ms | {what} | against LiteLLM |",
        "|---|---|---|---|---|---|",
    ]
    for _, clients, group in pairs(cells):
        other = next((c for c in group if c.contender == "litellm"), None)
        for cell in group:
            p50 = _spread(cell.spread(lambda s: s.p50_ms))
            p99 = _number(cell.spread(lambda s: s.p99_ms)[0])
            rate = _spread(cell.spread(lambda s: s.per_s))
            failed = f", {cell.errors} errors" if cell.errors else ""
            name = f"{cell.contender}{failed}"
            lines.append(f"| {clients} | {name} | {p50} | {p99} | {rate} | {_ratio(cell, other)} |")
    return "\n".join(lines)


def _ratio(cell: Cell, other: Cell | None) -> str:
    if other is None or cell is other:
        return ""
    times = cell.spread(lambda s: s.per_s)[0] / other.spread(lambda s: s.per_s)[0]
    wait = cell.spread(lambda s: s.p50_ms)[0] / other.spread(lambda s: s.p50_ms)[0]
    return f"{times:.1f} times the rate, {wait:.2f} the wait"


def _spread(found: tuple[float, float, float]) -> str:
    median, least, most = (_number(value) for value in found)
    return f"**{median}** ({least} to {most})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _footer(report: Report) -> list[str]:
    floors = ", ".join(f"{_number(per_s)} at {n}" for n, per_s in report.floors.items())
    lines = [f"The upstream alone, requests/s by clients: {floors}."]
    lines += [
        f"Ledger of {name} afterwards: {rows:,} rows for {answers:,} answers seen by the client"
        " (answers to warm-ups, and those that came after a run's end, are rows as well)."
        for name, (answers, rows) in report.ledger.items()
    ]
    return [*lines, *report.notes]
