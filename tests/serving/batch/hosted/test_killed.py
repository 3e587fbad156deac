"""Every line ends once, and no batch is submitted twice, whenever a worker is killed."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from serving.storage.database import Database
from tests.serving.batch.hosted.stage import Stage, asked, hard, stage

ROOT = Path(__file__).parents[4]
LINES = [*hard(12), *(asked(f"t{i}", f"hard twice {i}") for i in range(4)), asked("e", "easy")]
WANTED = {one["custom_id"]: (200, "Paris.") for one in LINES} | {"e": (200, "below")}
SENT = 12 + 2 * 4  # requests that the provider gets where nobody is killed


Run = Callable[[str, int], Awaitable[int]]


@asynccontextmanager
async def workers(it: Stage, url: str) -> AsyncIterator[Run]:
    """Runs a worker until its end, which it comes to by itself or by a kill; its exit status."""
    command = [sys.executable, "-W", "error", "-m", "tests.serving.batch.hosted.worker_process"]
    folder = str(it.files.path("file-" + "0" * 32).parent.parent)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, url, folder, it.faulty.url, cwd=ROOT, stdin=pipe, stdout=pipe
    )
    commands, statuses = process.stdin, process.stdout
    assert commands is not None
    assert statuses is not None

    async def run(point: str, nth: int) -> int:
        commands.write(f"{point} {nth}\n".encode())
        async with asyncio.timeout(90):
            while not (line := (await statuses.readline()).strip()).lstrip(b"-").isdigit():
                assert line or process.returncode is None, "the worker did not start"
        return int(line)

    try:
        yield run
    finally:
        commands.close()
        await process.wait()


async def check(it: Stage, batch_id: str) -> None:
    done = await it.ended(batch_id)
    assert done["status"] == "completed"
    assert it.answers(done) == WANTED
    assert await it.sent() == SENT
    rows = await it.hosted_rows()
    assert all(row.state in ("done", "lost") for row in rows)
    known = [row.provider_id for row in rows if row.state == "done" and row.provider_id]
    assert len(known) == len(set(known))


POINTS = [
    ("parking", 5),
    ("before_submit", 1),
    ("after_submit", 1),
    ("poll", 1),
    ("collect", 9),
    ("take", 1),
    ("take", 2),
    ("resume", 3),
    ("after_submit", 1),
    ("resume", 2),
]


async def test_a_worker_is_killed_at_each_point_of_a_batch_s_way(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(LINES)
        async with workers(it, database_url) as run:
            ends = [await run(point, nth) for point, nth in POINTS]
            assert ends == [-signal.SIGKILL] * len(POINTS)
            assert await run("none", 0) == 0
        await check(it, batch_id)


async def test_a_worker_is_killed_at_any_write(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    draw, killed = random.Random(database_url.partition(":")[0]), 0
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(LINES)
        async with workers(it, database_url) as run:
            for _ in range(10):
                killed += await run("write", draw.randint(3, 60)) != 0
            assert killed >= 2
            assert await run("none", 0) == 0
        await check(it, batch_id)
