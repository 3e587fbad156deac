"""Works batches off, at the pace of the emulator's clock."""

import asyncio
import math
import random
from typing import Any

import structlog

from serving.errors import InvalidRequest, TierError
from serving.hosted.emulator.answer import Place
from serving.hosted.emulator.batches.shape import Item
from serving.hosted.emulator.batches.store import Batch, Batches
from serving.hosted.emulator.core import Core
from serving.hosted.emulator.errors import ApiError, from_backend
from serving.hosted.emulator.ids import new_id
from serving.hosted.emulator.render import whole
from serving.settings.emulator import EmulatorBatches

STEP_S = 1.0
AT_ONCE = 32

_log = structlog.get_logger("stepwell.emulator")


class BatchRun:
    """Answers the requests of batches in slices of a second each (longer ones where less than a
    request a second is done). Those of one slice run side by side, so that they read nothing of
    what each other writes.
    """

    def __init__(self, core: Core, batches: Batches, rules: EmulatorBatches, seed: int) -> None:
        self._core, self._batches, self._rules = core, batches, rules
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret

    def begin(self, batch: Batch) -> None:
        """To be called once, when the batch has been created."""
        clock = self._core.clock
        start = batch.created + self._rules.delay_s

        async def expire() -> None:
            if batch.ended is None:
                self._batches.end(batch, "canceled" if batch.cancelled is not None else "expired")

        async def step() -> None:
            if batch.ended is not None or batch.cancelled is not None:
                return
            await self._slice(batch)
            if batch.waiting:
                clock.alarm(clock() + self._step_s, step)
            elif batch.ended is None:
                self._batches.end(batch, "canceled")

        clock.alarm(batch.expires, expire)
        clock.alarm(start, step)

    def cancel(self, batch: Batch) -> None:
        """To be called once, when its cancellation has been accepted."""

        async def finish() -> None:
            if batch.ended is None:
                self._batches.end(batch, "canceled")

        clock = self._core.clock
        clock.alarm(clock() + self._rules.cancel_s, finish)

    @property
    def _step_s(self) -> float:
        return max(STEP_S, 1 / self._rules.requests_per_s)

    async def _slice(self, batch: Batch) -> None:
        size = max(1, math.floor(self._rules.requests_per_s * self._step_s))
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(item: Item) -> None:
            async with slots:
                await self._answer(batch, item)

        taken = [batch.waiting.popleft() for _ in range(min(size, len(batch.waiting)))]
        await asyncio.gather(*(one(item) for item in taken))

    async def _answer(self, batch: Batch, item: Item) -> None:
        """Books the result of one request. Draws come first, so that they are repeatable."""
        point, cold = self._random.random(), self._random.random() >= self._rules.cache_share
        request_id = new_id("req")
        if point < batch.errored:
            error = ApiError(500, "Internal server error")
            batch.book(item, "errored", error=error.body(request_id))
        elif point < batch.errored + batch.expired:
            batch.book(item, "expired")
        else:
            try:
                message = await self._message(batch, item, request_id, cold=cold)
            except ApiError as error:
                batch.book(item, "errored", error=error.body(request_id))
            except (TierError, InvalidRequest) as error:
                batch.book(item, "errored", error=from_backend(error).body(request_id))
            except Exception:
                _log.exception("emulated_batch_request_failed", batch=batch.id)
                broken = ApiError(500, "Internal server error")
                batch.book(item, "errored", error=broken.body(request_id))
            else:
                batch.book(item, "succeeded", message=message)

    async def _message(
        self, batch: Batch, item: Item, request_id: str, *, cold: bool
    ) -> dict[str, Any]:
        job = self._core.job(
            item.params,
            batch.version,
            batch.workspace,
            request_id,
            stop=batch.stop,
            place=Place(batch.id, item.custom_id, cold),
        )
        await asyncio.sleep(0)  # those beside it look into the cache before this one fills it
        return await whole(self._core.parts(job))
