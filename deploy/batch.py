"""Files and batches, and the worker that answers their lines through the stack."""

from contextlib import AsyncExitStack
from pathlib import Path

from deploy.paths import data_dir
from serving.api.batch_lines import ChatLines
from serving.backend import Backend
from serving.batch.files import FileStore
from serving.batch.service import BatchService, Work
from serving.batch.worker import Worker
from serving.settings.root import Settings
from serving.storage.database import Database

FILES_DIR = "files"


async def open_work(
    settings: Settings, backend: Backend, database: Database, stack: AsyncExitStack
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
    worker = Worker(database, files, ChatLines(backend, settings), wanted, max_line_bytes=most)
    if wanted.worker:
        await worker.start()
        stack.push_async_callback(worker.close, settings.server.drain_s)
    return Work(files, BatchService(database, files, wake=worker.wake))
