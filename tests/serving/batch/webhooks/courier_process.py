"""A worker and a courier as a process of its own, that may kill itself at a chosen point.

`python -m tests.serving.batch.webhooks.courier_process URL FOLDER PORT WHEN`: it is gone, as by
`kill -9`, once a batch has ended and nothing was told ("end"), with a try begun ("before"), or with
the receiver's answer in hand ("after"). With "never" it ends by itself once nothing is owed.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from sqlalchemy import func, select

from serving.api.batch_lines import ChatLines
from serving.batch.files import FileStore
from serving.batch.finalize import Finalizer
from serving.batch.values import OPEN, Batch
from serving.batch.webhooks.notice import Notice
from serving.batch.webhooks.send import Sender, Tried
from serving.batch.worker import Worker
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from serving.storage.webhooks import webhooks
from serving.storage.work import batches
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import settings
from tests.serving.batch.webhooks.couriers import running
from tests.serving.batch.webhooks.couriers import settings as webhook_settings
from tests.serving.batch.webhooks.receiver import Receiver

BATCH = BatchSettings(lease_s=0.6, poll_s=0.02, retry_s=0.01)


def gone() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill(when: str) -> None:
    """Makes this process kill itself at that point."""
    send, finalize = Sender.send, Finalizer.finalize

    async def sent(sender: Sender, notice: Notice) -> Tried:
        if when == "before":
            gone()
        tried = await send(sender, notice)
        gone()
        return tried

    async def finalized(finalizer: Finalizer, batch: Batch) -> bool:
        ended = await finalize(finalizer, batch)
        if when == "end":
            gone()
        return ended

    if when != "never":
        setattr(Sender, "send", sent)  # noqa: B010 - a method of another class
        setattr(Finalizer, "finalize", finalized)  # noqa: B010


async def main(url: str, folder: str, port: str, when: str) -> None:
    kill(when)
    database = await Database.open(url)
    files = FileStore(database, Path(folder), BATCH)
    desk = ChatLines(Scripted(), settings())
    worker = Worker(database, files, desk, BATCH, max_line_bytes=100_000)
    chosen = webhook_settings(Receiver(port=int(port)), timeout_s=5)
    open_ = select(func.count()).where(batches.c.status.in_(OPEN))
    owed = select(func.count()).where(webhooks.c.state == "waiting")
    await worker.start()
    # A process that was killed within a try leaves a lease of this many seconds.
    async with running(database, chosen, margin_s=-3.0):
        while True:
            async with database.read() as connection:
                left = [(await connection.execute(query)).scalar_one() for query in (open_, owed)]
            if not any(left):
                break
            await asyncio.sleep(0.02)
    await worker.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
