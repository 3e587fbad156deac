"""The gateway beside a LiteLLM proxy: `python -m tests.bench.gateway [--quick]`.

Starts each contender and a trivial upstream on this machine, measures every row in interleaved
runs, and writes the section of docs/benchmarks.md. It ends within its minutes; a contender that
cannot be had is named and left out.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from rich.console import Console

from tests.bench.gateway import measure, show
from tests.bench.gateway.contenders import CHAT, KNOWN, Contender, contender
from tests.bench.gateway.processes import NotReady, Process, free_port
from tests.bench.gateway.rows import ROWS, Row

DOCS = Path(__file__).parents[3] / "docs" / "benchmarks.md"
# Of a run beside its own seconds: starting wrk, reading the upstream's count.
OVERHEAD_S = 0.3
MIN_RUN_S, MAX_RUN_S = 1.0, 3.0
FLOOR_S = 1


def main() -> int:
    options = _options(sys.argv[1:])
    console = Console(highlight=False)
    if measure.tool() != "wrk":
        console.print("wrk is missing (apt-get install wrk): the bench's own client measures all")
    try:
        report = uvloop.run(bench(options, console))
    except NotReady as error:
        console.print(f"not measured: {error}", markup=False)
        return 1
    section = show.as_markdown(report)
    console.print(section, markup=False, soft_wrap=True)
    if options.json is not None:
        options.json.write_text(show.as_json(report), "utf-8")
    if options.docs is not None:
        show.into(options.docs, section)
    return int(any(cell.errors for cell in report.cells) or len(report.notes) > 0)


async def bench(options: argparse.Namespace, console: Console) -> show.Report:
    """Everything from the first start to the last stop."""
    began = time.monotonic()
    rows = tuple(row for row in ROWS if row.name in options.rows)
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        command = [sys.executable, "-m", "tests.bench.gateway.upstream", str(port)]
        upstream = Process(command, folder / "upstream.log", {})
        running: list[Contender] = []
        try:
            await upstream.ready(port, CHAT, b"{}")
            floors = await _floors(port, options.clients)
            running, notes = await _started(options.contenders, folder, port, console)
            left = options.minutes * 60 - (time.monotonic() - began)
            plan = _plan(options, left, len(rows) * len(running))
            cells, failed = await _rows(rows, running, plan, measure.Counter(port), console)
        finally:
            for each in running:
                await each.stop()
            await upstream.stop()
        return show.Report(
            date=datetime.now(UTC).date().isoformat(),
            command=" ".join(["python -m tests.bench.gateway", *sys.argv[1:]]),
            plan=plan,
            rows=rows,
            cells=tuple(cells),
            floors=floors,
            ledger=_ledger(running, cells, rows),
            notes=(*notes, *failed),
        )


async def _started(
    names: Sequence[str], folder: Path, upstream: int, console: Console
) -> tuple[list[Contender], list[str]]:
    """Those that run, and a line for each that does not. `NotReady` where none does."""
    running: list[Contender] = []
    notes: list[str] = []
    for name in names:
        found = contender(name, folder, upstream)
        began = time.monotonic()
        try:
            await found.start()
        except NotReady as error:
            await found.stop()
            console.print(str(error), markup=False)
            notes.append(f"{name} did not start and is left out.")
            continue
        console.print(f"{name} is ready after {time.monotonic() - began:.1f} s")
        running.append(found)
    if not running:
        raise NotReady("no contender started")
    return running, notes


async def _rows(
    rows: Sequence[Row],
    running: Sequence[Contender],
    plan: measure.Plan,
    upstream: measure.Counter,
    console: Console,
) -> tuple[list[measure.Cell], list[str]]:
    """What was measured, and a line for each row that could not be."""
    cells: list[measure.Cell] = []
    notes: list[str] = []
    for row in rows:
        try:
            found = await measure.interleaved(row, running, plan, upstream)
        except NotReady as error:
            console.print(str(error), markup=False)
            notes.append(f"Not measured: {error}.")
            continue
        for cell in found:
            p50, rate = cell.spread(lambda s: s.p50_ms)[0], cell.spread(lambda s: s.per_s)[0]
            console.print(
                f"{row.name} {cell.clients} {cell.contender}: {p50:.3f} ms, {rate:,.0f}/s"
            )
        cells += found
    return cells, notes


def _plan(options: argparse.Namespace, left_s: float, cells: int) -> measure.Plan:
    """As long runs as the time allows. wrk counts whole seconds, so only those are used."""
    runs = len(options.clients) * options.runs * cells
    seconds = min(MAX_RUN_S, max(MIN_RUN_S, (left_s - cells) / runs - OVERHEAD_S))
    return measure.Plan(tuple(options.clients), options.runs, float(int(seconds)))


async def _floors(port: int, clients: Sequence[int]) -> dict[int, float]:
    """The upstream alone, with the tool that measures the rows."""
    if measure.tool() != "wrk":
        return {}
    bodies = ROWS[0].bodies({"model": "upstream"})
    return {
        n: (await measure.wrk(port, CHAT, bodies, clients=n, seconds=FLOOR_S)).per_s
        for n in clients
    }


def _ledger(
    running: Sequence[Contender], cells: Sequence[measure.Cell], rows: Sequence[Row]
) -> dict[str, tuple[int, int]]:
    """Answers that the client counted, and rows held afterwards, by contender."""
    found: dict[str, tuple[int, int]] = {}
    for each in running:
        held = each.ledger_rows()
        if held is not None:
            mine = [c for c in cells if c.contender == each.name]
            found[each.name] = (sum(s.answers for c in mine for s in c.samples), held)
    return found


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gateway")
    names = [row.name for row in ROWS]
    parser.add_argument("--contenders", type=_among(KNOWN), default=["stepwell-inline", "litellm"])
    parser.add_argument("--rows", type=_among(names), default=names)
    parser.add_argument("--clients", type=lambda s: [int(n) for n in s.split(",")])
    parser.add_argument("--runs", type=int, help="runs of each row and contender")
    parser.add_argument("--minutes", type=float, help="how long the whole may take")
    parser.add_argument("--quick", action="store_true", help="2 minutes, fewer runs")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the section is written")
    parser.add_argument("--no-docs", dest="docs", action="store_const", const=None)
    parser.add_argument("--json", type=Path, help="where the figures are written as JSON")
    parser.add_argument("--keep", type=Path, help="a folder for configs, logs and ledgers")
    options = parser.parse_args(arguments)
    defaults = ([1, 32], 3, 2.0) if options.quick else ([1, 8, 32], 5, 10.0)
    for name, value in zip(("clients", "runs", "minutes"), defaults, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def _among(known: Sequence[str]) -> "_Names":
    return _Names(known)


class _Names:
    """Names, separated by commas, of things that there are."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        names = text.split(",")
        unknown = [n for n in names if n not in self._known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(self._known)}")
        return names


if __name__ == "__main__":
    sys.exit(main())
