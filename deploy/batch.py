"""Files and batches, and the worker that answers their lines through the stack."""

from contextlib import AsyncExitStack
from pathlib import Path

from deploy.paths import data_dir
from deploy.webhooks import open_courier
from serving.api.batch_lines import ChatLines
from serving.batch.files import FileStore
from serving.batch.hosted.work import Hosted
from serving.batch.service import BatchService, Work
from serving.batch.traffic import Traffic
from serving.batch.webhooks.allowed import Allowed
from serving.batch.worker import Worker
from serving.settings.root import Settings
from serving.storage.database import Database
from serving.telemetry.metrics import Metrics

FILES_DIR = "files"


async def open_work(
    settings: Settings,
    backend: Traffic,
    database: Database,
    *,
    metrics: Metrics,
    hosted: Hosted,
    stack: AsyncExitStack,
) -> Work | None:
    """None where it is off. The worker runs until the stack is closed, and finishes what it holds
    as clients' requests do.
    """
    wanted = settings.batch
    if not wanted.enabled:
        return None
    folder = Path(wanted.files_dir) if wanted.files_dir else data_dir() / FILES_DIR
    files = FileStore(database, folder, wanted)
    most = settings.limits.max_body_bytes
    worker = Worker(
        database,
        files,
        ChatLines(backend, settings),
        wanted,
        max_line_bytes=most,
        hosted=hosted,
        busy=lambda: backend.busy,
    )
    if wanted.worker:
        await open_courier(settings, database, metrics, stack)
        await worker.start()
        stack.push_async_callback(worker.close, settings.server.drain_s)
    batches = BatchService(database, files, wake=worker.wake, webhooks=Allowed(wanted.webhooks))
    return Work(files, batches)
