"""A worker as a process of its own, that may kill itself at a chosen point.

`python -m tests.serving.batch.worker_process URL FOLDER KILL_AT ANSWERS`: at the KILL_AT-th point
(0: never) it is gone, as by `kill -9`; below 0 they count from when the first file of results is
written. Points are before and after each write to the database, each
move of a file and each answer of the backend. ANSWERS is a file that gets a line for each answer.
It ends by itself once every batch has and no line is left of them.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from serving.api.batch_lines import ChatLines
from serving.backend import Call, ChunkStream
from serving.batch.disk import FileWriter
from serving.batch.files import FileStore
from serving.batch.values import OPEN
from serving.batch.worker import Worker
from serving.errors import NoTierAnswered, TierRejected
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from serving.storage.work import batch_lines, batches
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import settings

BATCH = BatchSettings(lease_s=0.6, poll_s=0.02, retry_s=0.01, concurrency=4, max_tries=100)


class Points:
    def __init__(self, kill_at: int) -> None:
        self._left = abs(kill_at)
        self.counting = kill_at >= 0

    def passed(self) -> None:
        self._left -= self.counting
        if self._left == 0 and self.counting:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def guarded(*args: Any) -> Any:
            self.passed()
            found = await work(*args)
            self.passed()
            return found

        return guarded


class Answering:
    """Every seventh line is refused, every fifth fails the first time a worker tries it."""

    def __init__(self, points: Points, answers: Path) -> None:
        self._points = points
        self._answers = answers
        self._tried: set[str] = set()

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        text = request.last_user_text
        completion = await Scripted(steps=(f"answer {text}", 0.001)).complete(request, call)
        if int(text) % 7 == 0:
            raise TierRejected("refused")
        if int(text) % 5 == 0 and text not in self._tried:
            self._tried.add(text)
            raise NoTierAnswered("down")
        with self._answers.open("a") as file:
            file.write(f"{text}\n")
        self._points.passed()
        return completion

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        raise NotImplementedError


async def main(url: str, folder: str, kill_at: str, answers: str) -> None:
    points = Points(int(kill_at))
    database = await Database.open(url)
    vars(database)["write"] = points.around(database.write)
    setattr(FileWriter, "keep", _keeping(points))  # noqa: B010 - a method of another class
    files = FileStore(database, Path(folder), BATCH)
    desk = ChatLines(Answering(points, Path(answers)), settings())
    worker = Worker(database, files, desk, BATCH, max_line_bytes=100_000)
    await worker.start()
    open_ = select(func.count()).where(batches.c.status.in_(OPEN))
    lines = select(func.count()).select_from(batch_lines)
    while True:
        async with database.read() as connection:
            counts = [(await connection.execute(query)).scalar_one() for query in (open_, lines)]
        if not any(counts):
            break
        await asyncio.sleep(0.02)
    await worker.close()
    await database.close()


def _keeping(points: Points) -> Callable[[FileWriter], Awaitable[None]]:
    keep = FileWriter.keep

    async def guarded(writer: FileWriter) -> None:
        points.counting = True
        points.passed()
        await keep(writer)
        points.passed()

    return guarded


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
