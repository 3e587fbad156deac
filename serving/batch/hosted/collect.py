"""Asks after hosted batches and collects what they came to. Doing either twice changes nothing."""

from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from serving.batch.hosted.rules import pause
from serving.batch.hosted.store import HostedStore
from serving.batch.hosted.values import BatchTier, HostedBatch
from serving.batch.hosted.verdicts import PAGE, Verdicts
from serving.batch.values import Clock
from serving.batches import RESULTS_MISSING, BatchResult, BatchStatus
from serving.errors import StepwellError, TierMisconfigured
from serving.settings.batch import BatchSettings

MOST_COLLECTS = 6
"""A batch whose results are incomplete so many times in a row has no more of them."""
MOST_404 = 6
"""A provider that has not heard of a batch so many times in a row, which takes minutes, has not."""
GONE = "batch_not_found"

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
            _log.warning("hosted_batch_not_polled", tier=tier.name, error=error.code)
            if _gone(error) and _times(hosted, error) >= MOST_404:
                await self._verdicts.give_up(hosted, "the provider does not know it")
            else:
                await self._failed(hosted, error)
            return
        now = self._clock()
        cancelled = hosted.cancel_at
        if status.state == "cancelling" and cancelled is None:
            cancelled = now
        match status.state:
            case "ended":
                ended = await self._store.change(
                    hosted,
                    state="ended",
                    polled_at=now,
                    cancel_at=cancelled,
                    tries=0,
                    next_at=now,
                    reason=None,
                )
                if ended is not None:
                    await self.collect(ended, tier)
            case "failed":
                await self._verdicts.give_up(hosted, f"failed: {status.reason}")
            case _:
                await self._later(hosted, polled_at=now, cancel_at=cancelled, reason=None)

    async def collect(self, hosted: HostedBatch, tier: BatchTier) -> None:
        """One that has ended. Its results are paid for, so whatever comes in between it is tried
        again; lines for which that takes too long are promoted, and the rest is booked.
        """
        assert hosted.provider_id is not None, "it has been submitted"
        reading = _Reading(proven=not hosted.adopted)
        try:
            await self._read(reading, hosted, tier, hosted.provider_id)
        except StepwellError as error:
            _log.warning("hosted_batch_not_collected", tier=tier.name, error=error.code)
            if not (_no_more(error) and _times(hosted, error) >= MOST_COLLECTS):
                await self._failed(hosted, error)
                return
        if reading.proven:
            await self._verdicts.finish(hosted)
            _log.info("hosted_batch_done", tier=hosted.tier, lines=hosted.lines)
        else:
            await self._disown(hosted, hosted.provider_id)

    async def _ask(self, hosted: HostedBatch, tier: BatchTier, provider_id: str) -> BatchStatus:
        """What was adopted may be somebody else's until its results prove that it is not."""
        unwanted = hosted.cancel_at is None and not hosted.adopted
        if unwanted and not await self._store.is_awaited(hosted):
            return await tier.backend.cancel(provider_id)
        return await tier.backend.poll(provider_id)

    async def _read(
        self, reading: "_Reading", hosted: HostedBatch, tier: BatchTier, provider_id: str
    ) -> None:
        """Where an adopted batch is not proven by its first result, nothing of it is taken. What
        came before an error is.
        """
        try:
            async with aclosing(tier.backend.collect(provider_id)) as results:
                async for result in results:
                    if not reading.proven:
                        reading.proven = await self._store.custom_ids(hosted, [result.custom_id])
                        if not reading.proven:
                            return
                    reading.page.append(result)
                    if len(reading.page) >= PAGE:
                        await self._take(reading, hosted)
        except StepwellError:
            await self._take(reading, hosted)
            raise
        await self._take(reading, hosted)

    async def _take(self, reading: "_Reading", hosted: HostedBatch) -> None:
        page, reading.page = reading.page, []
        if page:
            await self._verdicts.take(hosted, page)

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

    async def _failed(self, hosted: HostedBatch, error: StepwellError) -> None:
        """`tries` counts how often that has happened in a row."""
        tries = _times(hosted, error)
        due = self._clock() + self._pause(tries - 1)
        await self._store.change(hosted, tries=tries, next_at=due, owner=None, reason=error.code)

    async def _later(self, hosted: HostedBatch, **values: Any) -> None:
        due = self._clock() + self._pause(hosted.tries)
        if values.get("cancel_at") is not None and hosted.cancel_at is None:  # it ends soon
            due = self._clock() + timedelta(seconds=self._settings.hosted_poll_s)
        await self._store.change(hosted, tries=hosted.tries + 1, next_at=due, owner=None, **values)

    def _pause(self, tries: int) -> timedelta:
        settings = self._settings
        return pause(tries, first_s=settings.hosted_poll_s, most_s=settings.hosted_poll_max_s)


@dataclass(slots=True)
class _Reading:
    """`page`: what has been read and not taken."""

    proven: bool
    page: list[BatchResult] = field(default_factory=list)


def _gone(error: StepwellError) -> bool:
    return isinstance(error, TierMisconfigured) and error.code == GONE


def _no_more(error: StepwellError) -> bool:
    """All results that there are have been read, or there are none any more."""
    return error.code == RESULTS_MISSING or _gone(error)


def _times(hosted: HostedBatch, error: StepwellError) -> int:
    """How often it came to this in a row, this time included."""
    return hosted.tries + 1 if hosted.reason == error.code else 1
