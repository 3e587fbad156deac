"""Asks after hosted batches and collects what they came to. Doing either twice changes nothing."""

from contextlib import aclosing
from datetime import timedelta
from typing import Any

import structlog

from serving.batch.hosted.rules import pause
from serving.batch.hosted.store import HostedStore
from serving.batch.hosted.values import BatchTier, HostedBatch
from serving.batch.hosted.verdicts import PAGE, Verdicts
from serving.batch.values import Clock
from serving.batches import BatchResult, BatchStatus
from serving.errors import StepwellError, TierMisconfigured
from serving.settings.batch import BatchSettings

MAX_COLLECTS = 6
"""A batch whose results are incomplete so many times has no more of them."""

_log = structlog.get_logger("stepwell.batch.hosted")


class Collector:
    def __init__(
        self, store: HostedStore, verdicts: Verdicts, settings: BatchSettings, clock: Clock
    ) -> None:
        self._store = store
        self._verdicts = verdicts
        self._settings = settings
        self._clock = clock

    async def poll(self, hosted: HostedBatch, tier: BatchTier) -> None:
        """One that is at the provider. It is cancelled there once nobody waits for it."""
        assert hosted.provider_id is not None, "it has been submitted"
        try:
            status = await self._ask(hosted, tier, hosted.provider_id)
        except StepwellError as error:
            if _gone(error):
                await self._verdicts.give_up(hosted, "the provider does not know it")
            else:
                _log.warning("hosted_batch_not_polled", tier=tier.name, error=error.code)
                await self._later(hosted, reason=error.code)
            return
        now = self._clock()
        cancelled = hosted.cancel_at
        if status.state == "cancelling" and cancelled is None:
            cancelled = now
        match status.state:
            case "ended":
                ended = await self._store.change(
                    hosted, state="ended", polled_at=now, cancel_at=cancelled, tries=0, next_at=now
                )
                if ended is not None:
                    await self.collect(ended, tier)
            case "failed":
                await self._verdicts.give_up(hosted, f"failed: {status.reason}")
            case _:
                await self._later(hosted, polled_at=now, cancel_at=cancelled)

    async def collect(self, hosted: HostedBatch, tier: BatchTier) -> None:
        """One that has ended."""
        assert hosted.provider_id is not None, "it has been submitted"
        try:
            ours = await self._take(hosted, tier, hosted.provider_id)
        except StepwellError as error:
            _log.warning("hosted_batch_not_collected", tier=tier.name, error=error.code)
            if hosted.tries + 1 < MAX_COLLECTS and not _gone(error):
                await self._later(hosted, reason=error.code)
                return
            ours = True
        if ours:
            await self._verdicts.finish(hosted)
            _log.info("hosted_batch_done", tier=hosted.tier, lines=hosted.lines)
        else:
            await self._disown(hosted, hosted.provider_id)

    async def _ask(self, hosted: HostedBatch, tier: BatchTier, provider_id: str) -> BatchStatus:
        if hosted.cancel_at is None and not await self._store.is_awaited(hosted):
            return await tier.backend.cancel(provider_id)
        return await tier.backend.poll(provider_id)

    async def _take(self, hosted: HostedBatch, tier: BatchTier, provider_id: str) -> bool:
        """False where an adopted batch turns out to be another's; nothing of it is taken then."""
        proven, page = not hosted.adopted, list[BatchResult]()
        async with aclosing(tier.backend.collect(provider_id)) as results:
            async for result in results:
                if not proven:
                    proven = await self._store.custom_ids(hosted, [result.custom_id])
                    if not proven:
                        return False
                page.append(result)
                if len(page) >= PAGE:
                    await self._verdicts.take(hosted, page)
                    page = []
        await self._verdicts.take(hosted, page)
        return True

    async def _disown(self, hosted: HostedBatch, provider_id: str) -> None:
        _log.warning("hosted_batch_was_another", tier=hosted.tier)
        await self._store.change(
            hosted,
            state="ambiguous",
            provider_id=None,
            adopted=False,
            rejected=[*hosted.rejected, provider_id],
            tries=0,
            next_at=self._clock(),
            owner=None,
        )

    async def _later(self, hosted: HostedBatch, **values: Any) -> None:
        settings = self._settings
        wait = pause(
            hosted.tries, first_s=settings.hosted_poll_s, most_s=settings.hosted_poll_max_s
        )
        due = self._clock() + wait
        if values.get("cancel_at") is not None and hosted.cancel_at is None:  # it ends soon
            due = self._clock() + timedelta(seconds=settings.hosted_poll_s)
        await self._store.change(hosted, tries=hosted.tries + 1, next_at=due, owner=None, **values)


def _gone(error: StepwellError) -> bool:
    return isinstance(error, TierMisconfigured) and error.code == "batch_not_found"
