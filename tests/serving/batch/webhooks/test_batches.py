"""Ends of batches are told, whatever the end, and a URL that may not be told is refused at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest

from serving.batch.values import utc_now
from serving.settings.batch import BatchSettings
from tests.serving.api.scripted import Scripted
from tests.serving.batch.stack import Stack, ended, jsonl, line, stack, submit, upload
from tests.serving.batch.webhooks.couriers import rows, running, settings
from tests.serving.batch.webhooks.receiver import SECRET, Receiver, receiving


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNING", SECRET)


@asynccontextmanager
async def telling(
    receiver: Receiver, folder: Path, *, backend: Any = None, url: str | None = None, **more: Any
) -> AsyncIterator[Stack]:
    chosen = settings(receiver)
    batch = BatchSettings(poll_s=0.05, retry_s=0.01, webhooks=chosen)
    async with (
        stack(backend or Scripted(), folder, url=url, batch=batch, **more) as s,
        running(s.database, chosen),
    ):
        yield s


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """Types and subjects, verified by the SDK."""
    client = openai.OpenAI(api_key="x", webhook_secret=SECRET)
    events = [client.webhooks.unwrap(got.body, got.headers) for got in receiver.got]
    return [(str(event.type), str(getattr(event.data, "id", None))) for event in events]


async def test_a_batch_that_completes_or_fails_says_so(database_url: str, tmp_path: Path) -> None:
    async with receiving() as receiver, telling(receiver, tmp_path, url=database_url) as s:
        named = {"webhook_url": receiver.url, "project": "x"}
        good = await submit(s.client, [line("a")], metadata=named)
        assert good.metadata == named
        await receiver.count(1)
        bad = await submit(s.client, [{"custom_id": "a"}], metadata=named)
        await receiver.count(2)
        await submit(s.client, [line("a")], metadata={"project": "x"})
        assert told(receiver) == [("batch.completed", good.id), ("batch.failed", bad.id)]
        # What is told is so.
        assert (await s.client.batches.retrieve(good.id)).status == "completed"
        assert len(await rows(s.database)) == 2


async def test_a_batch_that_is_cancelled_or_expires_says_so(tmp_path: Path) -> None:
    gate, late = asyncio.Event(), timedelta()
    backend = Scripted(steps=("Hello", gate))

    def clock() -> datetime:
        return utc_now() + late

    async with (
        receiving() as receiver,
        telling(receiver, tmp_path, backend=backend, clock=clock) as s,
    ):
        named = {"webhook_url": receiver.url}
        one = await submit(s.client, [line("a")], metadata=named)
        await asyncio.wait_for(backend.started.wait(), 10)
        await s.client.batches.cancel(one.id)
        await receiver.count(1)
        two = await submit(s.client, [line("a")], metadata=named)
        late = timedelta(hours=25)
        await s.worker._leases.renew()  # the jump of the clock took the lease with it
        assert (await ended(s.client, two.id)).status == "expired"
        # Owed by the clock of the worker, which is ahead of the courier's.
        owed = {(row.event, row.subject) for row in await rows(s.database)}
        assert owed == {("batch.cancelled", one.id), ("batch.expired", two.id)}
    assert told(receiver) == [("batch.cancelled", one.id)]


async def test_a_url_that_may_not_be_told_is_refused(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(receiver, tmp_path, working=False) as s:
        file = await upload(s.client, jsonl([line("a")]))
        for url in ("https://example.org/", f"http://localhost:{receiver.port}/", "x"):
            with pytest.raises(openai.BadRequestError) as caught:
                await s.client.batches.create(
                    input_file_id=file.id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={"webhook_url": url},
                )
            assert caught.value.param == "metadata.webhook_url"
        assert [b.id async for b in s.client.batches.list()] == []


async def test_where_webhooks_are_off_naming_a_url_is_refused(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, working=False) as s:
        with pytest.raises(openai.BadRequestError, match="webhooks are off here"):
            await submit(s.client, [line("a")], metadata={"webhook_url": "https://a.example/"})
