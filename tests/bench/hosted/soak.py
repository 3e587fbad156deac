"""Hosted calls of which some go wrong, and what they cost: `python -m tests.bench.hosted.soak`.

10,000 requests by the `openai` SDK through `stepwell serve` to an emulator that spoils 5% of them:
rate limits, overloads, outages, hangs, streams that break off, answers that do not parse. Half are
streams, and some clients leave. Every request must be answered or clearly refused, and the ledger
must be the emulator's account to the cent for completed calls and never below it for others. It
ends with 1 where anything is amiss. The slope is that of a straight line through the second half of
the gateway's memory readings.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import openai
import psutil
from rich.console import Console

from tests.bench.hosted.clients import Fate, ask
from tests.bench.hosted.ledger import LedgerRow, ledger_rows
from tests.bench.hosted.processes import KEY_ENV, emulated, served
from tests.bench.hosted.reconciled import Reconciled, Sum, reconcile
from tests.bench.hosted.traffic import TIERS, Asked, traffic

REQUESTS, AT_ONCE, SEED = 10_000, 32, 5
DEADLINE_S = 3.0
FAULTS = {
    "429": 0.003,
    "429_bare": 0.005,
    "529": 0.007,
    "529_retry_after": 0.002,
    "500": 0.006,
    "hang": 0.003,
    "overloaded_midstream": 0.008,
    "malformed": 0.006,
    "truncated": 0.006,
    "dropped": 0.004,
}
TOKENS, PIECES, PAUSE_S = 80, 8, 0.003
EVERY_S = 0.5
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Soaked:
    """`readings`: requests done by then, and the gateway's resident MiB."""

    fates: list[tuple[Asked, Fate]]
    rows: list[LedgerRow]
    money: Reconciled
    readings: list[tuple[int, float]]
    seconds: float

    @property
    def lost(self) -> list[tuple[Asked, Fate]]:
        return [(asked, fate) for asked, fate in self.fates if fate.word == "lost"]

    @property
    def mib_per_10k(self) -> float | None:
        """Through the second half; None where there are too few readings for a line."""
        half = self.readings[len(self.readings) // 2 :]
        if len({done for done, _ in half}) < 3:
            return None
        line = statistics.linear_regression([done for done, _ in half], [mib for _, mib in half])
        return round(line.slope * 10_000, 2)


async def soak(
    requests: int, folder: Path, faults: Mapping[str, float], *, at_once: int, seed: int = SEED
) -> Soaked:
    """State under `folder`, which must be empty."""
    options = ["--tokens", str(TOKENS), "--pieces", str(PIECES), "--pause", str(PAUSE_S)]
    options += ["--seed", str(seed)]
    options += [word for kind, share in faults.items() for word in ("--fault", f"{kind}={share}")]
    todo, began = traffic(requests, seed), time.monotonic()
    fates: list[tuple[Asked, Fate]] = []
    async with (
        emulated(list(TIERS.values()), folder, *options) as emulator,
        served(_config(emulator.url), folder) as gateway,
    ):
        watch = asyncio.create_task(_watch(gateway.pid, fates))
        await _ask_all(todo, gateway.url, at_once, fates)
        readings = await _stopped(watch)
        seconds = time.monotonic() - began
    assert emulator.account is not None
    rows = ledger_rows(gateway.ledger)
    return Soaked(fates, rows, reconcile(fates, rows, emulator.account), readings, seconds)


def _config(url: str) -> dict[str, Any]:
    backend = {"engine": "anthropic", "base_url": url, "api_key_env": KEY_ENV}
    return {
        "tiers": [
            {"name": name, "model": model, "backend": backend, "deadline_s": DEADLINE_S}
            for name, model in TIERS.items()
        ],
        "cache": {"max_bytes": 0},
    }


async def _ask_all(
    todo: Sequence[Asked], url: str, at_once: int, fates: list[tuple[Asked, Fate]]
) -> None:
    slots = asyncio.Semaphore(at_once)

    async def one(client: openai.AsyncOpenAI, asked: Asked) -> None:
        try:
            fates.append((asked, await ask(client, asked)))
        finally:
            slots.release()

    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused") as client,
        asyncio.TaskGroup() as group,
    ):
        for asked in todo:
            await slots.acquire()
            group.create_task(one(client, asked))


async def _watch(pid: int, fates: Sequence[object]) -> list[tuple[int, float]]:
    """Reads the process's memory until it is cancelled."""
    process, found = psutil.Process(pid), list[tuple[int, float]]()
    with suppress(asyncio.CancelledError):
        while True:
            found.append((len(fates), process.memory_info().rss / MIB))
            await asyncio.sleep(EVERY_S)
    return found


async def _stopped(watch: asyncio.Task[list[tuple[int, float]]]) -> list[tuple[int, float]]:
    watch.cancel()
    return await watch


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepwell-soak-") as folder:
        soaked = asyncio.run(soak(options.requests, Path(folder), FAULTS, at_once=options.at_once))
    _show(soaked, Console(highlight=False, width=120))
    if options.json is not None:
        found = {**asdict(soaked.money), "readings": soaked.readings}
        options.json.write_text(json.dumps(found, indent=2, default=str))
    return int(bool(soaked.lost or soaked.money.wrong))


def _show(soaked: Soaked, console: Console) -> None:
    money = soaked.money
    words = Counter(fate.word for _, fate in soaked.fates)
    errors = Counter(f"{f.word} {f.why}" for _, f in soaked.fates if f.word.startswith("error"))
    attempts = Counter(row.error for row in soaked.rows if row.error)
    console.print(f"{len(soaked.fates)} requests in {soaked.seconds:.0f} s: {_counts(words)}")
    console.print(f"errors: {_counts(errors)}")
    console.print(f"attempts that failed, of {len(soaked.rows)}: {_counts(attempts)}")
    console.print(f"ledger: {_sum(money.certain)} with usage; {_sum(money.bounded)} at most")
    console.print(
        f"account: {_sum(money.completed)} completed, of which {_sum(money.unseen)} unseen;"
        f" {_sum(money.aborted)} aborted"
    )
    console.print(f"completed and seen - ledger: ${_difference(money):f}")
    last = len(soaked.readings) - 1
    quarters = [soaked.readings[last * i // 4] for i in range(5)]
    memory = ", ".join(f"{mib:.0f} after {done:,}" for done, mib in quarters)
    console.print(f"gateway's MiB: {memory}; {soaked.mib_per_10k} per 10,000 requests at last")
    for asked, fate in soaked.lost[:20]:
        console.print(f"LOST {asked}: {fate.why}", markup=False)
    for line in money.wrong[:20]:
        console.print(f"WRONG {line}", markup=False)


def _difference(money: Reconciled) -> Any:
    return money.completed.usd - money.unseen.usd - money.certain.usd


def _sum(found: Sum) -> str:
    return f"{found.calls:,} calls ${found.usd:,.6f}"


def _counts(found: Mapping[Any, int]) -> str:
    return ", ".join(f"{word} {n:,}" for word, n in sorted(found.items(), key=str)) or "none"


if __name__ == "__main__":
    sys.exit(main())
