"""One replay from its lines to its table: progress, complaints, figures, also when interrupted."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.cli.console import errors, output, say
from deploy.cli.replay.read import BadLine, Line, count
from deploy.cli.replay.send import Result, Sender, Target, replay
from deploy.cli.replay.show import show
from deploy.cli.replay.summary import summary
from deploy.cli.replay.tally import Tally

MAX_COMPLAINTS = 20
STDOUT = Path("-")


class Run:
    """Call it with lines. `name` is what complaints call the file."""

    def __init__(
        self, name: str, target: Target, *, concurrency: int, json_out: Path | None = None
    ) -> None:
        self._name = name
        self._target = target
        self._concurrency = concurrency
        self._json_out = json_out
        self._complaints = 0

    def __call__(
        self, lines: AsyncIterator[Line | BadLine], *, total: Callable[[], int | None]
    ) -> Tally:
        """Sends all lines, then prints and writes what was counted. An interrupt does so too,
        and goes on. `total` is asked only where a progress bar is shown.
        """
        tally = Tally()
        started = time.perf_counter()
        try:
            with _bar(total) as (console, advance):
                asyncio.run(self._send(lines, tally, console, advance))
        finally:
            tally.elapsed_s = time.perf_counter() - started
            self._report(tally)
        return tally

    async def _send(
        self,
        lines: AsyncIterator[Line | BadLine],
        tally: Tally,
        console: Console,
        advance: Callable[[], None],
    ) -> None:
        def seen(line: Line | BadLine, result: Result) -> None:
            tally.add(line, result)
            advance()
            if isinstance(line, BadLine):
                self._complain(console, line)

        sender = Sender(self._target, concurrency=self._concurrency)
        try:
            await replay(lines, sender, concurrency=self._concurrency, seen=seen)
        finally:
            await sender.aclose()

    def _complain(self, console: Console, line: BadLine) -> None:
        self._complaints += 1
        if self._complaints <= MAX_COMPLAINTS:
            say(console, f"{self._name}:{line.number}: {line.reason}")
        elif self._complaints == MAX_COMPLAINTS + 1:
            say(console, f"{self._name}: further bad lines are counted, not listed")

    def _report(self, tally: Tally) -> None:
        to_stdout = self._json_out == STDOUT
        show(errors() if to_stdout else output(), tally)
        if self._json_out is None:
            return
        figures = orjson.dumps(summary(tally), option=orjson.OPT_INDENT_2) + b"\n"
        if to_stdout:
            sys.stdout.write(figures.decode())
        else:
            self._json_out.write_bytes(figures)


def count_lines(path: Path, limit: int | None) -> int | None:
    """How many requests there are; None where the file breaks off."""
    try:
        return count(path, limit)
    except OSError:
        return None


@contextmanager
def _bar(total: Callable[[], int | None]) -> Iterator[tuple[Console, Callable[[], None]]]:
    """A progress bar on stderr where that is a terminal; a console that prints above it."""
    console = errors()
    if not console.is_terminal:
        yield console, lambda: None
        return
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("replay", total=total())
        yield console, lambda: progress.advance(bar)
