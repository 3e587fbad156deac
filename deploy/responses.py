"""Responses as they are kept, and swept now and then."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from serving.batch.enqueue import Background
from serving.batch.service import Work
from serving.batch.values import utc_now
from serving.settings.root import Settings
from serving.storage.database import Database
from serving.storage.responses import ResponseStore

SWEEP_S = 600.0


def open_responses(
    settings: Settings, database: Database, work: Work | None, stack: AsyncExitStack
) -> tuple[ResponseStore | None, Background | None]:
    """The second is None where nothing works in the background, both where responses are off."""
    wanted = settings.responses
    if not wanted.enabled:
        return None, None
    store = ResponseStore(database)
    sweeping = asyncio.create_task(_sweep(store, wanted.max_tenant_bytes))
    stack.push_async_callback(_stopped, sweeping)
    if work is None:
        return store, None
    return store, Background(database, most_open=wanted.max_background, wake=work.batches.wake)


async def _sweep(store: ResponseStore, most: int) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await store.sweep(utc_now(), max_tenant_bytes=most)
        except Exception as error:
            log = structlog.get_logger("stepwell.responses")
            log.warning("responses_not_swept", error=type(error).__name__)


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
