"""Every line ends once, whenever a worker is killed."""

import asyncio
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import func, select

from serving.batch.files import FileStore, new_file_id
from serving.batch.requests import CreateBatch
from serving.batch.service import BatchService
from serving.batch.values import Owner
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from serving.storage.work import batch_lines
from tests.serving.batch.stack import CHAT, jsonl, line

ROOT = Path(__file__).parents[3]
LINES = 40
OWNER = Owner("default", None)


async def submitted(database: Database, files: FileStore, lines: int = LINES) -> str:
    data = jsonl([line(f"l{i}", str(i)) for i in range(1, lines + 1)])
    file_id = new_file_id()
    async with files.writing(file_id) as writer:
        await writer.write(data)
    await files.add(file_id, OWNER, filename="x", purpose="batch", size=writer.size)
    asked = CreateBatch(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    batch_id = (await BatchService(database, files).create(OWNER, asked))["id"]
    assert isinstance(batch_id, str)
    return batch_id


async def run(url: str, folder: Path, kill_at: int, answers: Path) -> int:
    """A worker until its end, which it comes to by itself or by a kill; its exit status."""
    command = [sys.executable, "-W", "error", "-m", "tests.serving.batch.worker_process", url]
    process = await asyncio.create_subprocess_exec(
        *command,
        *(str(folder), str(kill_at), str(answers)),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 240)
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode


def in_file(files: FileStore, file_id: str) -> dict[str, Any]:
    found = [orjson.loads(one) for one in files.path(file_id).read_bytes().splitlines()]
    by_id = {one["custom_id"]: one for one in found}
    assert len(by_id) == len(found)
    return by_id


async def check(database: Database, files: FileStore, batch_id: str, lines: int) -> None:
    """All lines have ended, each once and with its own answer."""
    done = await BatchService(database, files).retrieve(OWNER, batch_id)
    assert done["status"] == "completed"
    refused = {f"l{i}" for i in range(1, lines + 1) if i % 7 == 0}
    out, err = in_file(files, done["output_file_id"]), in_file(files, done["error_file_id"])
    assert set(err) == refused
    assert set(out) == {f"l{i}" for i in range(1, lines + 1)} - refused
    counts = {"total": lines, "completed": len(out), "failed": len(err)}
    assert done["request_counts"] == counts
    for custom_id, one in out.items():
        text = one["response"]["body"]["choices"][0]["message"]["content"]
        assert text == f"answer {custom_id[1:]}"
    async with database.read() as connection:
        left = select(func.count()).select_from(batch_lines)
        assert (await connection.execute(left)).scalar_one() == 0


async def test_every_line_ends_once_whenever_the_worker_is_killed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    folder, answers = tmp_path / "files", tmp_path / "answers"
    files = FileStore(database, folder, BatchSettings())
    batch_id = await submitted(database, files)
    draw, killed = random.Random(database_url.partition(":")[0]), 0
    for _ in range(5):
        killed += await run(database_url, folder, draw.randint(1, 30), answers) != 0
    assert killed >= 3
    assert await run(database_url, folder, 0, answers) == 0
    await check(database, files, batch_id, LINES)
    # What was in flight at a kill may be answered again, and nothing else.
    again = sum(n - 1 for n in Counter(answers.read_text().split()).values())
    assert again <= 4 * killed


async def test_a_worker_killed_while_it_ends_a_batch(tmp_path: Path) -> None:
    url, folder, answers = f"sqlite:///{tmp_path / 'w.db'}", tmp_path / "files", tmp_path / "a"
    database = await Database.open(url)
    files = FileStore(database, folder, BatchSettings())
    batch_id = await submitted(database, files, 7)
    statuses: list[str] = []
    for kill_at in (-1, -2, -3, -4, -5, -8):  # moves of two files, the transaction, the sweep
        assert await run(url, folder, kill_at, answers) == -signal.SIGKILL or statuses[-1:] == [
            "completed"
        ]
        statuses.append((await BatchService(database, files).retrieve(OWNER, batch_id))["status"])
    assert statuses[:5] == ["finalizing"] * 5
    await run(url, folder, 0, answers)
    await check(database, files, batch_id, 7)
    await database.close()
