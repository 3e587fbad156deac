"""Workers with a batch endpoint as processes of their own, that may kill themselves at a point.

`python -m tests.serving.batch.hosted.worker_process URL FOLDER API` reads lines `POINT NTH`, starts
a worker for each, and writes the exit status that it came to. At the NTH passing of a point of this
name (0: never) a worker is gone, as by `kill -9`. It ends by itself once every batch has and no
hosted batch is at work.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select

from serving.batch.files import FileStore
from serving.batch.hosted.values import AT_WORK, BatchTier
from serving.batch.hosted.verdicts import Verdicts
from serving.batch.hosted.work import Hosted
from serving.batch.values import OPEN
from serving.batch.worker import Worker
from serving.batches import (
    BatchHandle,
    BatchLimits,
    BatchResult,
    BatchStatus,
    PreparedLine,
)
from serving.hosted.batches import AnthropicBatches
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from serving.storage.work import batch_lines, batches, hosted_batches
from serving.wire.chat import ChatRequest
from tests.serving.batch.hosted.desk import MODEL, TIER, Desk
from tests.serving.batch.hosted.stage import PRICE
from tests.serving.hosted.fakes import tier

SETTINGS = BatchSettings(
    poll_s=0.02,
    lease_s=0.6,
    retry_s=0.01,
    concurrency=4,
    max_tries=100,
    flush_s=0.05,
    hosted_poll_s=0.05,
    hosted_poll_max_s=0.2,
    ambiguous_s=1.0,
    hosted_tries=20,
)


class Points:
    def __init__(self, name: str, nth: int) -> None:
        self._name, self._left = name, nth

    def passed(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Killing:
    """A BatchBackend that passes points before and after what it asks of the provider."""

    def __init__(self, inner: AnthropicBatches, points: Points) -> None:
        self._inner, self._points = inner, points

    @property
    def limits(self) -> BatchLimits:
        return self._inner.limits

    def prepare(self, custom_id: str, request: ChatRequest) -> PreparedLine:
        self._points.passed("parking")
        return self._inner.prepare(custom_id, request)

    async def submit(self, lines: Sequence[PreparedLine], *, tag: str) -> BatchHandle:
        self._points.passed("before_submit")
        handle = await self._inner.submit(lines, tag=tag)
        self._points.passed("after_submit")
        return handle

    async def poll(self, batch_id: str) -> BatchStatus:
        status = await self._inner.poll(batch_id)
        self._points.passed("poll")
        return status

    async def cancel(self, batch_id: str) -> BatchStatus:
        return await self._inner.cancel(batch_id)

    async def list(self, since: datetime) -> AsyncGenerator[BatchStatus, None]:
        async for status in self._inner.list(since):
            self._points.passed("list")
            yield status

    async def collect(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        async for result in self._inner.collect(batch_id):
            self._points.passed("collect")
            yield result

    async def aclose(self) -> None:
        await self._inner.aclose()


async def main(url: str, folder: str, api: str, point: str, nth: str) -> None:
    points = Points(point, int(nth))
    database = await Database.open(url)
    write = database.write

    async def writing(work: object) -> None:
        points.passed("write")
        await write(work)  # type: ignore[arg-type]  # as it came
        points.passed("write")

    vars(database)["write"] = writing
    files = FileStore(database, Path(folder), SETTINGS)
    backend = Killing(AnthropicBatches(tier(MODEL), price=PRICE, base_url=api), points)
    take = Verdicts.take

    async def taking(self: Verdicts, *args: object) -> None:
        points.passed("take")
        await take(self, *args)  # type: ignore[arg-type]  # as it came
        points.passed("take")

    setattr(Verdicts, "take", taking)  # noqa: B010 - a method of another class
    desk = Desk(saw=lambda _text: points.passed("resume"))
    hosted = Hosted({TIER: BatchTier(TIER, backend)})
    worker = Worker(database, files, desk, SETTINGS, max_line_bytes=100_000, hosted=hosted)
    await worker.start()
    queries = (
        select(func.count()).where(batches.c.status.in_(OPEN)),
        select(func.count()).select_from(batch_lines),
        select(func.count()).where(hosted_batches.c.state.in_(AT_WORK)),
    )
    while True:
        async with database.read() as connection:
            if not any([(await connection.execute(q)).scalar_one() for q in queries]):
                break
        await asyncio.sleep(0.02)
    await worker.close()
    await backend.aclose()
    await database.close()


def serve(*where: str) -> None:
    """Forks, since what a worker imports takes longer than what it does."""
    import anthropic  # noqa: F401 - only to have it

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(main(*where, *line.split()))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, flush=True)  # noqa: T201 - to the test


if __name__ == "__main__":
    serve(*sys.argv[1:])
