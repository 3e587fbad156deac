"""Live latency beside a batch: windows with and without one, in turn, on one stack.

    STEPWELL_TEST_DATA=… python -m tests.bench.batch.beside [--pairs 12] [--window 15]

The mock stack on Ray Serve, times of its tiers as configured. First the most that 32 clients get
answered in a second; then, at 30% of that, windows of Poisson arrivals: in each pair of windows the
same requests come at the same moments, once alone and once while a batch runs, in random order. The
tiers' simulated times depend on the request alone, so that a difference is the batch's. Shown is
the 99th percentile of the time to the whole answer, its difference per pair, and the 95% bootstrap
interval of the mean difference over the pairs (percentile method, 10,000 resamples).
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
from rich.console import Console
from rich.table import Table

from tests.bench.batch.lines import body, texts, write
from tests.bench.batch.stack import KEY_ENV, configured, provider
from tests.ray.stack import RayStack, running

CLIENTS, CAPACITY_S, LOAD = 32, 10.0, 0.3
POOL = 6_000
RESAMPLES = 10_000
SETTLED_S = 2.0
ENDED = {"completed", "failed", "expired", "cancelled"}


@dataclass(frozen=True, slots=True)
class Window:
    """Milliseconds of each request in its order; `lines` of the batch ended meanwhile."""

    waits_ms: list[float]
    errors: int
    lines: int = 0

    @property
    def p99(self) -> float:
        return float(np.percentile(self.waits_ms, 99))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--window", type=float, default=15.0, help="seconds")
    parser.add_argument("--lines", type=int, default=4_000, help="of each batch")
    parser.add_argument("--time-scale", type=float, default=1.0, help="of the mock tiers' times")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ[KEY_ENV] = "bench"
    with tempfile.TemporaryDirectory(prefix="stepwell-beside-") as place:
        folder = Path(place)
        emulated = ("--batch", "delay_s=2", "--batch", "requests_per_s=500")
        with provider(folder, *emulated) as hosted:
            config = configured(hosted.url, time_scale=options.time_scale)
            config["batch"] = {"enabled": True, "flush_s": 5}
            with running(config, folder, gateways=2) as stack:
                rate, pairs = asyncio.run(_measure(stack, folder, options))
    differences = [on.p99 - off.p99 for off, on in pairs]
    low, high = _interval(differences)
    _show(rate, pairs, differences, (low, high))
    if options.json is not None:
        figures = {
            "per_s": rate,
            "off_p99_ms": [off.p99 for off, _ in pairs],
            "on_p99_ms": [on.p99 for _, on in pairs],
            "lines": [on.lines for _, on in pairs],
            "interval_ms": [low, high],
        }
        options.json.write_text(json.dumps(figures, indent=2))
    return 0 if high < 5 else 1


async def _measure(
    stack: RayStack, folder: Path, options: argparse.Namespace
) -> tuple[float, list[tuple[Window, Window]]]:
    asked = [_live(desk, text) for desk, text in texts(POOL, 11)]
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
    async with (
        httpx2.AsyncClient(base_url=stack.url, limits=limits, timeout=60, trust_env=False) as http,
        stack.async_client(timeout=60) as client,
    ):
        await _capacity(http, asked)  # connections, learning and the processor's caches
        rate = LOAD * await _capacity(http, asked)
        drawn = random.Random(3)
        pairs = []
        for number in range(options.pairs):
            count = int(rate * options.window)
            some = drawn.sample(asked, min(count, len(asked)))
            gaps = [drawn.expovariate(rate) for _ in some]
            order = [False, True] if drawn.random() < 0.5 else [True, False]
            found = {}
            for beside in order:
                source = folder / f"{number}.jsonl"
                await asyncio.to_thread(write, source, texts(options.lines, 100 + number))
                found[beside] = await (
                    _beside(client, source, http, some, gaps)
                    if beside
                    else _window(http, some, gaps)
                )
            pairs.append((found[False], found[True]))
    return rate, pairs


def _live(desk: str, text: str) -> bytes:
    """The caches stand aside: the same request is to take the same path again."""
    return json.dumps(body(desk, text) | {"stepwell": {"cache": False}}).encode()


async def _capacity(http: httpx2.AsyncClient, asked: Sequence[bytes]) -> float:
    """Answers in a second to clients of which each asks again as soon as it is answered."""
    done = 0
    until = time.monotonic() + CAPACITY_S

    async def one(number: int) -> None:
        nonlocal done
        for content in asked[number::CLIENTS]:
            if time.monotonic() >= until:
                return
            waited = await _ask(http, content)
            done += waited is not None

    await asyncio.gather(*(one(number) for number in range(CLIENTS)))
    return done / CAPACITY_S


async def _ask(http: httpx2.AsyncClient, content: bytes) -> float | None:
    """Milliseconds; None for an error."""
    begun = time.perf_counter()
    headers = {"content-type": "application/json"}
    try:
        answer = await http.post("/v1/chat/completions", content=content, headers=headers)
    except httpx2.TransportError:
        return None
    return (time.perf_counter() - begun) * 1_000 if answer.status_code == 200 else None


async def _window(http: httpx2.AsyncClient, some: Sequence[bytes], gaps: Sequence[float]) -> Window:
    """Each request is sent at its time, whether or not earlier ones have been answered."""
    begun, at, tasks = time.monotonic(), 0.0, []
    for content, gap in zip(some, gaps, strict=True):
        at += gap
        await asyncio.sleep(begun + at - time.monotonic())
        tasks.append(asyncio.create_task(_ask(http, content)))
    found = await asyncio.gather(*tasks)
    waits = [w for w in found if w is not None]
    return Window(waits, len(found) - len(waits))


async def _beside(
    client: openai.AsyncOpenAI,
    source: Path,
    http: httpx2.AsyncClient,
    some: Sequence[bytes],
    gaps: Sequence[float],
) -> Window:
    uploaded = await client.files.create(file=source, purpose="batch")
    made = await client.batches.create(
        input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    while await _ended_lines(client, made.id) == 0:  # noqa: ASYNC110 - a server is asked
        await asyncio.sleep(0.2)
    before = await _ended_lines(client, made.id)
    window = await _window(http, some, gaps)
    lines = await _ended_lines(client, made.id) - before
    await client.batches.cancel(made.id)
    while (await client.batches.retrieve(made.id)).status not in ENDED:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    await asyncio.sleep(SETTLED_S)
    return Window(window.waits_ms, window.errors, lines)


async def _ended_lines(client: openai.AsyncOpenAI, batch_id: str) -> int:
    counts = (await client.batches.retrieve(batch_id)).request_counts
    return 0 if counts is None else counts.completed + counts.failed


def _interval(differences: Sequence[float]) -> tuple[float, float]:
    draw = np.random.default_rng(5)
    picks = draw.choice(np.asarray(differences), size=(RESAMPLES, len(differences)))
    low, high = np.percentile(picks.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _show(
    rate: float,
    pairs: Sequence[tuple[Window, Window]],
    differences: Sequence[float],
    interval: tuple[float, float],
) -> None:
    table = Table(title=f"Live p99 in ms at {rate:.1f} requests/s (tiers simulated)")
    for name in ("pair", "alone", "beside a batch", "difference", "lines ended", "errors"):
        table.add_column(name, justify="right")
    for number, ((off, on), difference) in enumerate(zip(pairs, differences, strict=True), 1):
        errors = str(off.errors + on.errors)
        cells = (f"{off.p99:.1f}", f"{on.p99:.1f}", f"{difference:+.1f}", str(on.lines), errors)
        table.add_row(str(number), *cells)
    console: Any = Console(width=100)
    console.print(table)
    mean = sum(differences) / len(differences)
    console.print(
        f"mean difference {mean:+.2f} ms, 95% interval {interval[0]:+.2f} to {interval[1]:+.2f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
