"""Measures the shelf: how fast it finds with and without inserts, and what an entry takes.

    OMP_NUM_THREADS=1 taskset -c 0 python -m tests.bench.cache.shelf [--entries 100000]

Each way to spread the entries over scopes runs in a process of its own, so that its memory is its
own. Vectors are made up, around topics as sentences' are; answers have some 1,000 bytes of text.
"""

import argparse
import asyncio
import gc
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson
import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from cache.semantic.entry import NewEntry
from cache.semantic.packed import unpack
from cache.semantic.question import Question
from cache.semantic.settings import ShelfSettings
from cache.semantic.shelf import Shelf
from serving.storage.database import Database
from serving.storage.schema import semantic_entries
from tests.cache.indexes.clusters import Vectors, clustered, near

DIMENSIONS = 384
EMBEDDER = "bench"
QUERIES = 5_000
INSERTS_PER_S = 200
SECONDS = 10.0
READ_EVERY_S = 0.002
TOGETHER = 500
WORDS = (Path(__file__).parents[3] / "README.md").read_text("utf-8").split()


@dataclass(frozen=True)
class Figures:
    """Times are in milliseconds; bytes are per entry."""

    scopes: int
    kinds: str
    adds_per_s: float
    built_s: float
    idle: "Reads"
    inserting: "Reads"
    inserted_per_s: float
    counted: float
    resident: float
    open_s: float
    unpack: float
    from_database: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=100_000)
    options.add_argument("--scopes", type=int, nargs="*")
    given = options.parse_args()
    scopes = given.scopes or [1, given.entries // 20, given.entries]
    spawn = multiprocessing.get_context("spawn")
    measured = []
    for count in scopes:
        with spawn.Pool(1) as pool:
            measured.append(pool.apply(measure, (given.entries, count)))
    show(given.entries, measured)


def measure(entries: int, scopes: int) -> Figures:
    return asyncio.run(_measure(entries, scopes))


async def _measure(entries: int, scopes: int) -> Figures:
    rng = np.random.default_rng(0)
    vectors = clustered(entries + 10_000, DIMENSIONS, rng)
    asked = rng.integers(entries, size=QUERIES)
    queries = near(vectors[asked], rng)
    names = [f"{number:064x}" for number in range(scopes)]
    home = rng.integers(scopes, size=entries + 10_000) if scopes < entries else np.arange(10**6)
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{folder}/bench.db")
        settings = ShelfSettings(max_bytes=4 * 2**30, flush_interval_s=1.0)
        gc.collect()
        before = psutil.Process().memory_info().rss
        shelf = await _open(database, settings)
        began = time.perf_counter()
        for start in range(0, entries, TOGETHER):
            some = range(start, min(start + TOGETHER, entries))
            await asyncio.gather(
                *(shelf.add(new(i, names[home[i] % scopes], vectors[i])) for i in some)
            )
        adding = time.perf_counter() - began
        await shelf.settle()
        built = time.perf_counter() - began
        gc.collect()
        resident = psutil.Process().memory_info().rss - before
        stats = shelf.stats()
        where = [names[home[i] % scopes] for i in asked]
        idle = await reads(shelf, where, queries, SECONDS)
        more = (new(i, names[home[i] % scopes], vectors[i]) for i in range(entries, len(vectors)))
        busy, inserted = await asyncio.gather(
            reads(shelf, where, queries, SECONDS), inserts(shelf, more, SECONDS)
        )
        unpacked, fetched = await answers(shelf, database, where[0], queries[0])
        await shelf.close()
        began = time.perf_counter()
        again = await _open(database, settings)
        opened = time.perf_counter() - began
        await again.close()
        await database.close()
    return Figures(
        scopes=scopes,
        kinds=", ".join(f"{count} {kind}" for kind, count in stats.index_kinds.items()),
        adds_per_s=entries / adding,
        built_s=built,
        idle=idle,
        inserting=busy,
        inserted_per_s=inserted,
        counted=stats.bytes / entries,
        resident=resident / entries,
        open_s=opened,
        unpack=unpacked,
        from_database=fetched,
    )


async def _open(database: Database, settings: ShelfSettings) -> Shelf:
    return await Shelf.open(database, embedder=EMBEDDER, dimensions=DIMENSIONS, settings=settings)


def new(number: int, scope: str, vector: "Vectors") -> NewEntry:
    """An entry with an answer as the cache keeps it: its text differs from all others'."""
    first = number * 7 % (len(WORDS) - 200)
    text = " ".join(WORDS[first : first + 160])[:1_000] + f" {number}"
    message = {"role": "assistant", "content": text}
    answer = {"id": f"chatcmpl-{number}", "choices": [{"index": 0, "message": message}]}
    return NewEntry(
        question=Question(
            scope,
            tenant=f"tenant-{int(scope, 16) % 100}",
            task="support",
            text=f"What do I do when card number {number} is declined at the till?",
        ),
        vector=vector,
        answer=orjson.dumps(answer),
        tier="local-7b",
        model="model-7b",
        simulated=False,
        cost_usd=Decimal("0.000123"),
        request_id=f"chatcmpl-{number:032x}",
        expires_at=time.time() + 86_400,
    )


@dataclass
class Reads:
    """Milliseconds of look-ups: on the wall, on the processor alone (which is what they would take
    on a core of their own), and by how many each began late because the loop was busy.
    """

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def time(self, shelf: Shelf, scope: str, query: Vectors) -> None:
        wall, processor = time.perf_counter(), time.thread_time()
        shelf.find(scope, query)
        self.processor.append((time.thread_time() - processor) * 1_000)
        self.wall.append((time.perf_counter() - wall) * 1_000)


async def reads(shelf: Shelf, where: list[str], queries: Vectors, seconds: float) -> Reads:
    """Look-ups on the loop at a steady pace."""
    done = Reads()
    began, number = time.monotonic(), 0
    while (due := began + number * READ_EVERY_S) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        done.late.append((time.monotonic() - due) * 1_000)
        done.time(shelf, where[number % len(where)], queries[number % len(where)])
        number += 1
    return done


async def inserts(shelf: Shelf, more: Iterator[NewEntry], seconds: float) -> float:
    """Adds at a steady pace; how many a second."""
    adding: set[asyncio.Task[object]] = set()
    began, inserted = time.monotonic(), 0
    while (due := began + inserted / INSERTS_PER_S) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task: asyncio.Task[object] = asyncio.create_task(shelf.add(next(more)))
        adding.add(task)
        task.add_done_callback(adding.discard)
        inserted += 1
    await asyncio.gather(*adding)
    return inserted / (time.monotonic() - began)


async def answers(
    shelf: Shelf, database: Database, scope: str, query: Vectors
) -> tuple[float, float]:
    """Milliseconds to get an answer out of memory, and to read it from the database instead."""
    entry = shelf.find(scope, query, 1)[0].entry
    unpacked, fetched = [], []
    for _ in range(500):
        began = time.perf_counter()
        unpack(entry.packed)
        unpacked.append((time.perf_counter() - began) * 1_000)
    wanted = select(semantic_entries.c.answer).where(semantic_entries.c.id == entry.id)
    for _ in range(500):
        began = time.perf_counter()
        async with database.read() as connection:
            unpack((await connection.execute(wanted)).scalar_one())
        fetched.append((time.perf_counter() - began) * 1_000)
    return float(np.median(unpacked)), float(np.median(fetched))


def percentiles(milliseconds: list[float]) -> str:
    return " / ".join(f"{np.percentile(milliseconds, p):.3f}" for p in (50, 99))


def show(entries: int, measured: list[Figures]) -> None:
    table = Table("", *(f"{f.scopes:,} scopes" for f in measured), title=f"{entries:,} entries")

    def row(name: str, *values: str) -> None:
        table.add_row(name, *values)

    row("kept as", *(f.kinds for f in measured))

    def rows(name: str, pick: Callable[[Reads], list[float]]) -> None:
        row(f"{name}, ms: p50 / p99", *(percentiles(pick(f.idle)) for f in measured))
        row("  beside inserts", *(percentiles(pick(f.inserting)) for f in measured))

    rows("look-up, processor time", lambda done: done.processor)
    rows("look-up, wall", lambda done: done.wall)
    rows("began late", lambda done: done.late)
    row("inserts per s meanwhile", *(f"{f.inserted_per_s:.0f}" for f in measured))
    row("bytes per entry: counted", *(f"{f.counted:,.0f}" for f in measured))
    row("bytes per entry: resident", *(f"{f.resident:,.0f}" for f in measured))
    row("durable adds per s, 500 at once", *(f"{f.adds_per_s:,.0f}" for f in measured))
    row("until the index is built, s", *(f"{f.built_s:.0f}" for f in measured))
    row("opening, s", *(f"{f.open_s:.1f}" for f in measured))
    row("answer from memory, ms", *(f"{f.unpack:.3f}" for f in measured))
    row("answer from the database, ms", *(f"{f.from_database:.3f}" for f in measured))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
