"""The end of a batch is told whenever the process that ended it, or that told it, is killed."""

import asyncio
import signal
import sys
from pathlib import Path

import openai
import pytest

from serving.batch.files import FileStore, new_file_id
from serving.batch.requests import CreateBatch
from serving.batch.service import BatchService
from serving.batch.values import Owner
from serving.batch.webhooks.allowed import Allowed
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from tests.serving.batch.stack import CHAT, jsonl, line
from tests.serving.batch.webhooks.couriers import rows, settings
from tests.serving.batch.webhooks.receiver import SECRET, Receiver, receiving

ROOT = Path(__file__).parents[4]
OWNER = Owner("default", None)


async def submitted(database: Database, files: FileStore, receiver: Receiver) -> str:
    file_id = new_file_id()
    async with files.writing(file_id) as writer:
        await writer.write(jsonl([line("a")]))
    await files.add(file_id, OWNER, filename="x", purpose="batch", size=writer.size)
    asked = CreateBatch(
        input_file_id=file_id,
        endpoint=CHAT,
        completion_window="24h",
        metadata={"webhook_url": receiver.url},
    )
    service = BatchService(database, files, webhooks=Allowed(settings(receiver)))
    return str((await service.create(OWNER, asked))["id"])


async def run(url: str, folder: Path, port: int, when: str) -> int:
    module = "tests.serving.batch.webhooks.courier_process"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", module, url, str(folder), str(port), when),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 240)
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode


async def test_a_notice_survives_every_kill(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNING", SECRET)
    folder = tmp_path / "files"
    files = FileStore(database, folder, BatchSettings())
    async with receiving() as receiver:
        batch_id = await submitted(database, files, receiver)
        for when, arrived in (("end", 0), ("before", 0), ("after", 1)):
            assert await run(database_url, folder, receiver.port, when) == -signal.SIGKILL
            assert len(receiver.got) == arrived
            assert [row.state for row in await rows(database)] == ["waiting"]
        assert await run(database_url, folder, receiver.port, "never") == 0
        assert [row.state for row in await rows(database)] == ["delivered"]
    client = openai.OpenAI(api_key="x", webhook_secret=SECRET)
    events = [client.webhooks.unwrap(got.body, got.headers) for got in receiver.got]
    # The one whose answer was lost came again, and can be told by its id.
    assert len(events) == 2
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert {str(getattr(event.data, "id", "")) for event in events} == {batch_id}
