"""Responses in the background, whatever happens to the workers that answer them."""

import asyncio
import json
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from sqlalchemy import func, select

from serving.backend import new_id
from serving.batch.enqueue import Background
from serving.batch.files import FileStore
from serving.batch.service import BatchService
from serving.batch.values import OPEN, RESPONSES, utc_now
from serving.errors import NotFound, RateLimited
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from serving.storage.responses import ResponseStore, StoredResponse
from serving.storage.work import batches
from tests.serving.api.scripted import Scripted
from tests.serving.batch.stack import stack
from tests.serving.batch.test_killed import OWNER, run

HOUR = timedelta(hours=1)
RESPONSE_COUNT = 8


def queued() -> StoredResponse:
    id_, now = f"resp_{new_id()}", utc_now()
    body = json.dumps({"id": id_, "status": "queued", "output": [], "model": "auto"}).encode()
    return StoredResponse(id_, "default", None, now, now + HOUR, "queued", None, b"[]", body)


def line(response: StoredResponse, text: str) -> bytes:
    body = {"model": "auto", "input": text}
    fields = {"custom_id": response.id, "method": "POST", "url": RESPONSES, "body": body}
    return orjson.dumps(fields)


async def test_each_is_answered_once_whenever_the_worker_is_killed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    background, store = Background(database, most_open=100), ResponseStore(database)
    rows = [queued() for _ in range(RESPONSE_COUNT)]
    for number, response in enumerate(rows, 1):
        await background.submit(response, line(response, str(number)), utc_now() + HOUR)
    draw, killed = random.Random(database_url.partition(":")[0]), 0
    folder, answers = tmp_path / "files", tmp_path / "answers"
    for _ in range(3):
        killed += await run(database_url, folder, draw.randint(1, 20), answers) != 0
    assert killed >= 1
    assert await run(database_url, folder, 0, answers) == 0
    for number, response in enumerate(rows, 1):
        found = await store.get("default", response.id, utc_now())
        body = json.loads(found.body)
        assert body["id"] == response.id
        if number % 7 == 0:
            assert (found.status, body["error"]["code"]) == ("failed", "invalid_prompt")
        else:
            assert found.status == "completed"
            assert body["output"][0]["content"][0]["text"] == f"answer {number}"


async def test_no_tenant_may_have_too_many_or_another_ones(database: Database) -> None:
    background, one = Background(database, most_open=1), queued()
    await background.submit(one, line(one, "1"), utc_now() + HOUR)
    with pytest.raises(RateLimited):
        await background.submit(queued(), b"{}", utc_now() + HOUR)
    other = replace(queued(), tenant="other")
    await background.submit(other, line(other, "1"), utc_now() + HOUR)
    with pytest.raises(NotFound):
        await background.cancel("default", other.id)
    found = await background.cancel("other", other.id)
    assert found is not None
    assert found.status == "cancelled"
    again = await background.cancel("other", other.id)
    assert again is not None
    assert again.body == found.body
    assert again.request is None


async def test_its_batch_is_nobodys_to_see(database: Database, tmp_path: Path) -> None:
    background, one = Background(database, most_open=1), queued()
    await background.submit(one, line(one, "1"), utc_now() + HOUR)
    service = BatchService(database, FileStore(database, tmp_path, BatchSettings()))
    assert await service.page(OWNER, after=None, limit=10) == ([], False)
    stored = await ResponseStore(database).get("default", one.id, utc_now())
    assert stored.batch_id is not None
    for ask in (service.retrieve, service.cancel):
        with pytest.raises(NotFound):
            await ask(OWNER, stored.batch_id)


async def test_what_is_deleted_is_not_answered(database: Database) -> None:
    background, store, one = Background(database, most_open=1), ResponseStore(database), queued()
    await background.submit(one, line(one, "1"), utc_now() + HOUR)
    await store.delete("default", one.id, utc_now())
    async with database.read() as connection:
        assert (await connection.execute(select(batches.c.status))).scalar_one() == "cancelling"


async def test_cancels_and_deletes_beside_a_worker_leave_nothing_open(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    background, store = Background(database, most_open=100), ResponseStore(database)
    rows = [queued() for _ in range(24)]
    async with stack(Scripted(("ok", 0.02)), tmp_path, url=database_url):
        for response in rows:
            await background.submit(response, line(response, "1"), utc_now() + HOUR)
        asks = [background.cancel("default", r.id) for r in rows[::3]]
        gone = [store.delete("default", r.id, utc_now()) for r in rows[1::3]]
        await asyncio.gather(*asks, *gone)
        await all_ended(database)
    for number, response in enumerate(rows):
        if number % 3 == 1:
            with pytest.raises(NotFound):
                await store.get("default", response.id, utc_now())
            continue
        found = await store.get("default", response.id, utc_now())
        assert found.request is None
        assert found.status in ("completed", "cancelled" if number % 3 == 0 else "completed")
        assert json.loads(found.body)["status"] == found.status


async def all_ended(database: Database) -> None:
    open_ = select(func.count()).where(batches.c.status.in_(OPEN))
    async with asyncio.timeout(60):
        while True:
            async with database.read() as connection:
                if not (await connection.execute(open_)).scalar_one():
                    return
            await asyncio.sleep(0.05)


async def test_what_is_answered_late_is_kept_as_long_as_any_other(database: Database) -> None:
    background, store = Background(database, most_open=100), ResponseStore(database)
    response = queued()
    day = timedelta(days=1)
    await background.submit(response, line(response, "late"), response.created_at + day)
    found = await store.get("default", response.id, response.created_at + day)
    assert found.expires_at == response.created_at + day + HOUR
