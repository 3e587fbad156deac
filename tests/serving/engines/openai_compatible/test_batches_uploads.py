"""What becomes of uploads, of marks that a server does not keep, and of endless submits."""

import asyncio

import pytest

from serving.batches import could_be, may_have_arrived
from serving.engines.openai_compatible import batches
from serving.engines.openai_compatible.batches import OpenAIBatches
from serving.errors import TierProtocolError, TierTimeout
from serving.hosted.emulator.server import EmulatorServer
from tests.serving.engines.openai_compatible.fake import settings
from tests.serving.engines.openai_compatible.test_batches import (
    PRICE,
    START,
    collected,
    done,
    lines,
    stage,
)
from tests.serving.trickling import Trickling


async def test_the_upload_is_deleted_once_all_results_have_been_read() -> None:
    async with stage() as (backend, fake):
        handle = await backend.submit(lines(backend, 2), tag="job")
        fake.finish(handle.id, [done("line-0"), "{broken"])
        with pytest.raises(TierProtocolError):
            await collected(backend, handle.id)
        assert fake.deleted == []
        fake.finish(handle.id, [done("line-0"), done("line-1")])
        assert len(await collected(backend, handle.id)) == 2
        assert fake.deleted == ["file-0"]
        assert len(await collected(backend, handle.id)) == 2  # again, after a crash


async def test_the_upload_of_a_batch_that_failed_is_deleted_where_it_is_ours() -> None:
    async with stage() as (backend, fake):
        for tag in ("job", ""):
            handle = await backend.submit(lines(backend, 1), tag=tag)
            fake.batches[handle.id]["status"] = "failed"
            assert (await backend.poll(handle.id)).state == "failed"
        assert fake.deleted == ["file-0"]


async def test_where_no_metadata_is_kept_a_lost_batch_is_found_by_its_size() -> None:
    async with stage() as (backend, fake):
        fake.keeps_metadata = False
        handle = await backend.submit(lines(backend, 2), tag="job")
        fake.finish(handle.id, [done("line-0"), done("line-1")])
        there = [s async for s in backend.list(START)]
        assert [h.tag for h in could_be(there, lines=2, tag="job", known=())] == [None]
        fake.keeps_metadata = True
        await backend.submit(lines(backend, 2), tag="later")
        there = [s async for s in backend.list(START)]
        assert could_be(there, lines=2, tag="job", known=()) == []  # it has no mark, others do


@pytest.mark.parametrize("slow", ["files", "batches"])
async def test_a_submit_ends_in_its_time_however_slowly_answers_come(
    monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    monkeypatch.setattr(batches, "SUBMIT_S", 0.5)
    server = EmulatorServer(Trickling(f"/v1/{slow}", {"id": "file-0", "object": "file"}))
    backend = OpenAIBatches(settings(f"{await server.start()}/v1"), price=PRICE)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(TierTimeout) as caught:
                await backend.submit(lines(backend), tag="job")
        assert may_have_arrived(caught.value)
    finally:
        await backend.aclose()
        await server.stop()
