"""Measures a whole lookup in this process: embed, search and decide, on one core.

    STEPWELL_TEST_DATA=… python -m tests.bench.cache.lookup [--entries 100000] [--lookups 2000]

One scope holds all entries: real questions (banking77 train, clinc150 train and val), then copies
of them with their vectors moved a little, as if said in other words. Asked are questions of
banking77 test that have 12 tokens, special ones included, while nothing else runs and beside 200
inserts a second. Every lookup counts, hit or miss; what follows a miss is not in it.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from cache.decision import shipped
from cache.embedder.base import Model
from cache.embedder.batched import BatchedEmbedder
from cache.embedder.load import load_model
from cache.semantic.agree import Agreement
from cache.semantic.cuts import Cuts
from cache.semantic.entry import NewEntry, Vector
from cache.semantic.local import LocalMemory
from cache.semantic.memory import Hit
from cache.semantic.question import Asked, Question
from cache.semantic.settings import ShelfSettings
from cache.semantic.shelf import Shelf
from deploy.semantic import compare_answers
from serving.settings.tasks import TaskSettings
from serving.storage.database import Database
from serving.storage.semantic import SemanticEvidence
from serving.telemetry.semantic import SemanticMetrics
from tests.bench.cache.natural import Vectors, data_folder, embed
from tests.bench.cache.shelf import TOGETHER, inserts, new
from tests.bench.cache.traffic import rows_of

SCOPE = "0" * 64
TOKENS = 12
SECONDS = 10.0
NOISE = 0.02
"""Standard deviation of what is added to each of a copy's 384 numbers: cosines around 0.93."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--lookups", type=int, default=2_000)
    given = parser.parse_args()
    asyncio.run(measure(given.entries, given.lookups))


def texts_of(*names: str) -> list[str]:
    rows = (row["text"] for n in names for row in rows_of(data_folder() / f"{n}.jsonl.gz"))
    return list(dict.fromkeys(rows))


def entries_of(texts: Sequence[str], vectors: Vectors, most: int) -> Iterator[NewEntry]:
    rng = np.random.default_rng(0)
    for number in range(most):
        at = number % len(texts)
        again = number // len(texts)
        vector: Vector = vectors[at]
        if again:
            vector = vector + rng.normal(0, NOISE, vector.shape).astype(np.float32)
            vector /= np.linalg.norm(vector)
        entry = new(number, SCOPE, vector)
        text = texts[at] if not again else f"{texts[at]} ({again})"
        yield replace(entry, question=replace(entry.question, text=text))


async def measure(most: int, lookups: int) -> None:
    model = load_model()
    texts = texts_of("banking77_train", "clinc150_train", "clinc150_val")
    vectors = embed(model, texts)
    asked = _of_length(model, texts_of("banking77_test"))
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{folder}/bench.db")
        settings = ShelfSettings(max_bytes=4 * 2**30)
        shelf = await Shelf.open(
            database, embedder="bench", dimensions=vectors.shape[1], settings=settings
        )
        source = entries_of(texts, vectors, most + 5_000)
        for start in range(0, most, TOGETHER):
            some = [next(source) for _ in range(min(TOGETHER, most - start))]
            await asyncio.gather(*map(shelf.add, some))
        await shelf.settle()
        memory = await _memory(database, shelf, model)
        _on_one_core()
        await _look_up(memory, asked, 200, "warm")
        idle = await _look_up(memory, asked, lookups, "idle")
        busy, _ = await asyncio.gather(
            _look_up(memory, asked, lookups, "busy"), inserts(shelf, source, SECONDS)
        )
        show(shelf, len(asked), {"alone": idle, "beside 200 inserts a second": busy})
        await shelf.close()
        await database.close()


def _on_one_core() -> None:
    """Every thread of this process."""
    core = max(os.sched_getaffinity(0))
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def _of_length(model: Model, texts: Sequence[str]) -> list[str]:
    return [t for t, n in zip(texts, model.encode(texts).tokens, strict=True) if n == TOKENS]


async def _memory(database: Database, shelf: Shelf, model: Model) -> LocalMemory:
    metrics, evidence = SemanticMetrics(CollectorRegistry()), SemanticEvidence(database)
    task = TaskSettings(name="bench")
    embedder = BatchedEmbedder(model)
    return LocalMemory(
        embedder=embedder,
        shelf=shelf,
        decision=shipped(),
        cuts=Cuts(lambda _: task, await evidence.thresholds(), metrics),
        agreement=Agreement(compare_answers, embedder),
        evidence=evidence,
        tasks=lambda _: task,
        metrics=metrics,
    )


async def _look_up(
    memory: LocalMemory, texts: Sequence[str], count: int, name: str
) -> tuple[list[float], Counter[str]]:
    """Milliseconds of each, and what was found."""
    taken: list[float] = []
    found: Counter[str] = Counter()
    for number in range(count):
        text = texts[number % len(texts)]
        asked = Asked(f"{name}{number}", Question(SCOPE, "acme", "bench", text))
        began = time.perf_counter()
        result = await memory.look_up(asked)
        taken.append((time.perf_counter() - began) * 1_000)
        found["hit" if isinstance(result, Hit) else "miss"] += 1
        flight = getattr(result, "flight", None)
        if flight is not None:
            await memory.land(flight, None)
        await asyncio.sleep(0)
    return taken, found


def show(shelf: Shelf, texts: int, measured: dict[str, tuple[list[float], Counter[str]]]) -> None:
    stats = shelf.stats()
    console = Console(highlight=False)
    table = Table("lookups", "p50 ms", "p99 ms", "hits")
    for name, (taken, found) in measured.items():
        p50, p99 = np.percentile(taken, [50, 99])
        table.add_row(name, f"{p50:.2f}", f"{p99:.2f}", f"{found['hit']:,} of {len(taken):,}")
    console.print(table)
    console.print(
        f"{stats.entries:,} entries in one scope, {stats.bytes / stats.entries:,.0f} bytes each;"
        f" {texts} different questions of {TOKENS} tokens; one core"
    )


if __name__ == "__main__":
    main()
