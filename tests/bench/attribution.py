"""Whether the parts of a saving are what their levers save, on a longer replay.

    STEPWELL_TEST_DATA=… python -m tests.bench.attribution [REQUESTS]

The stream of `tests/e2e/attribution` runs with every number of levers in their order and without
each of them: once with a local model that splits text as Claude does, where the parts must agree
with what is measured, and once with one that splits it otherwise, where the baseline is an estimate
and the table says by how much it is off. The exit code is 1 where parts do not add up, or where one
is not what was measured, to the picodollar, or where one depends on levers behind it (but for the
two caches, see docs/savings.md).
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog
from rich.console import Console

from tests.e2e.attribution.compare import (
    Ablation,
    Runs,
    build_up,
    one_off,
    parts_table,
    runs,
    table,
)
from tests.e2e.attribution.workload import HAS_SEMANTIC, SEMANTIC, questions, workload

REQUESTS = 1_000


def wrong(found: Runs, steps: Sequence[Ablation], *, exact: bool) -> list[str]:
    said = [
        f"with {sorted(on)} the parts do not add up"
        for on, run in found.items()
        if run.line.parts.total != run.line.baseline_usd - run.spend or run.hosted != run.billed
    ]
    said += [f"{s.lever} is off by {s.off:f} USD" for s in steps if s.off != 0]
    if exact:
        said += [
            f"levers before {s.lever} save {s.earlier:f} USD more without it"
            for s in steps
            if s.earlier != 0 and s.lever != SEMANTIC
        ]
    return said


async def measure(console: Console, requests: int, folder: Path, *, exact: bool) -> list[str]:
    asks = workload(questions(), requests)
    found = await runs(asks, folder, one_tokenizer=exact)
    tokens = "the same tokens at every tier" if exact else "other tokens at the local tier"
    console.print(f"{requests:,} requests, {tokens}")
    if not HAS_SEMANTIC:
        console.print("Without the semantic cache: it needs the extra `cache`.")
    console.print(parts_table(found))
    ups, offs = list(build_up(found)), list(one_off(found))
    console.print(table("Each lever on top of those before it, USD", ups))
    console.print(table("Each lever switched off alone, USD", offs))
    return wrong(found, [*ups, *offs], exact=exact)


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    console = Console(width=120, highlight=False)
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    said: list[str] = []
    for exact in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            said += asyncio.run(measure(console, requests, Path(folder), exact=exact))
    for line in said:
        console.print(line)
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())
