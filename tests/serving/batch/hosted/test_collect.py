"""Results are paid for: what stands between them and us is got over, and nothing is thrown away."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.batch.hosted.collect import MOST_404, MOST_COLLECTS
from serving.batch.hosted.store import HostedStore
from serving.batches import BatchHandle
from serving.hosted.batches import AnthropicBatches
from serving.hosted.client import EMULATOR_KEY
from serving.settings.emulator import EmulatorBatches
from serving.storage.database import Database
from tests.serving.batch.hosted.desk import MODEL
from tests.serving.batch.hosted.stage import FAST, OWNER, Stage, hard, stage

SLOW = EmulatorBatches(delay_s=3_600, cancel_s=0.01)
QUICK = FAST.model_copy(update={"hosted_poll_s": 0.01, "hosted_poll_max_s": 0.02})


async def seen(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 - what is seen happens at the provider
            await asyncio.sleep(0.01)


async def test_results_that_cannot_be_had_for_long_are_collected_in_the_end(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, settings=QUICK) as it:
        for _ in range(MOST_COLLECTS + 2):
            it.faulty.next("GET", "/results", "529")
        batch_id = await it.submit(hard(4))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert await it.sent() == 4
        assert [row.state for row in await it.hosted_rows()] == ["done"]


async def test_of_incomplete_results_those_that_are_there_are_used(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line whose result is missing as often as that is believed is sent again, alone."""
    real, unread = AnthropicBatches._result, list[str]()

    def result(self: AnthropicBatches, line: Any) -> Any:
        if len(unread) < MOST_COLLECTS and line["custom_id"] in (unread or [line["custom_id"]]):
            unread.append(line["custom_id"])
            return None
        return real(self, line)

    monkeypatch.setattr(AnthropicBatches, "_result", result)
    async with stage(database, tmp_path, settings=QUICK) as it:
        batch_id = await it.submit(hard(6))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert [row.lines for row in await it.hosted_rows()] == [6, 1]
        asked = [path for _, path in it.faulty.asked if path.endswith("/results")]
        assert len(asked) == MOST_COLLECTS + 1


async def test_a_single_404_is_not_believed(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path, settings=QUICK) as it:
        for _ in range(MOST_404 - 1):
            it.faulty.next("GET", "", "404")
        batch_id = await it.submit(hard(3))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert await it.sent() == 3


async def test_what_may_be_another_s_is_not_cancelled(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path, batches=SLOW) as it, it.api.client(EMULATOR_KEY) as sdk:
        it.faulty.next("POST", "/batches", "529")
        batch_id = await it.submit(hard(1))
        async with it.working():
            await it.hosted_in("ambiguous")
            params = {
                "model": MODEL,
                "max_tokens": 10,
                "messages": [{"role": "user", "content": "Hi"}],
            }
            theirs = await sdk.messages.batches.create(
                requests=[{"custom_id": "o1", "params": params}]  # type: ignore[typeddict-item]
            )
            (row,) = await it.hosted_in("submitted")
            assert (row.adopted, row.provider_id) == (True, theirs.id)
            await it.batches.cancel(OWNER, batch_id)
            await it.ended(batch_id)
            polled = len(it.faulty.asked)
            await seen(lambda: len(it.faulty.asked) >= polled + 2)
            now = await sdk.messages.batches.retrieve(theirs.id)
            assert (now.processing_status, now.cancel_initiated_at) == ("in_progress", None)
            await it.api.pass_s(7_200)
            (row,) = await it.hosted_in("ambiguous", "lost")
        assert row.rejected == [theirs.id]
        assert not it.late


async def test_an_error_that_nobody_foresaw_does_not_hold_up_the_others(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hosted batch for which it is always the same, the next try is later each time."""
    tried: list[str] = []

    async def submit(self: AnthropicBatches, lines: Any, *, tag: str) -> BatchHandle:
        tried.append(tag)
        raise ZeroDivisionError

    monkeypatch.setattr(AnthropicBatches, "submit", submit)
    rare = FAST.model_copy(update={"hosted_poll_s": 600.0})
    async with stage(database, tmp_path, settings=rare) as it:
        await it.submit(hard(1))
        async with it.working():
            await seen(lambda: bool(tried))
            found = await left(it)
        assert (found.next_at - found.created_at).total_seconds() > 500


async def left(it: Stage) -> Any:
    async with asyncio.timeout(30):
        while (row := (await it.hosted_rows())[0]).owner is not None:  # noqa: ASYNC110 - in a database
            await asyncio.sleep(0.01)
    return row


async def test_only_who_holds_a_hosted_batch_puts_it_off(
    database: Database, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, batches=SLOW) as it:
        await it.submit(hard(1))
        async with it.working():
            (row,) = await it.hosted_in("submitted")
        (row,) = await it.hosted_rows()
        later = row.next_at + timedelta(days=1)
        await HostedStore(database, "nobody", it.clock).leave(row.id, later)
        assert (await it.hosted_rows())[0].next_at == row.next_at
