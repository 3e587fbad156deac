"""Waiting for a batch, with a bar of our own counts where somebody looks at it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from openai.types import Batch
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from deploy.cli.batch.figures import Figures, figures, percent, usd
from deploy.cli.batch.server import Server
from deploy.cli.console import errors, say

ENDED = ("completed", "failed", "expired", "cancelled")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0

Seen = Callable[[Figures], None]


def until_ended(server: Server, batch: Batch) -> Batch:
    """Asks after it, ever less often while nothing changes, until it has ended."""
    pause_s = FIRST_PAUSE_S
    with _shown(server, batch) as show:
        before = figures(batch)
        show(before)
        while batch.status not in ENDED:
            time.sleep(pause_s)
            batch = server.retrieve(batch.id)
            now = figures(batch)
            show(now)
            same_status = now.status == before.status
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S) if same_status else FIRST_PAUSE_S
            before = now
    return batch


@contextmanager
def _shown(server: Server, batch: Batch) -> Iterator[Seen]:
    """A bar on stderr where that is a terminal, else a line for each status."""
    console = errors()
    if not console.is_terminal:
        yield _lines(console, batch.id)
        return
    text = TextColumn("{task.description}", markup=False)
    bar = Progress(text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console)
    task, tell = bar.add_task("batch", total=None), server.tell

    def show(now: Figures) -> None:
        status = now.status.replace("_", " ")
        bar.update(task, description=status, completed=now.ended, total=now.total or None)
        live.update(Group(bar, Text(told(now))), refresh=True)

    with Live(console=console, transient=True) as live:
        server.tell = lambda line: say(console, line)  # above the bar
        try:
            yield show
        finally:
            server.tell = tell


def _lines(console: Console, batch_id: str) -> Seen:
    last = ""

    def show(now: Figures) -> None:
        nonlocal last
        if now.status != last:
            counts = f", {now.ended:,} of {now.total:,} lines" if now.total else ""
            say(console, f"{batch_id}: {now.status.replace('_', ' ')}{counts}")
            last = now.status

    return show


def told(now: Figures) -> str:
    """What was spent and saved so far, and where lines are, in one line."""
    parts: list[str] = []
    if now.cost is not None:
        parts.append(f"spent ${usd(now.cost)}")
    if now.saved is not None and now.baseline:
        parts.append(f"saved ${usd(now.saved)} ({percent(now.saved, now.baseline)})")
    parts += [f"{name} {lines:,}" for name, lines in now.tiers.items()]
    parts += [f"{lines:,} {what} to providers' batches" for what, lines in now.waiting.items()]
    if now.failed:
        parts.append(f"{now.failed:,} failed")
    return ", ".join(parts)
