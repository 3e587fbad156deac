"""Sends hosted batches, and finds out what became of a submit whose fate is not known.

No provider takes a key by which it would know a submit again, so what may have arrived is never
sent a second time: its lines are held and the provider's list is asked.
"""

from datetime import timedelta

import structlog

from serving.batch.hosted.rules import pause
from serving.batch.hosted.store import HostedStore, Others
from serving.batch.hosted.values import BatchTier, HostedBatch
from serving.batch.hosted.verdicts import Verdicts
from serving.batch.values import Clock
from serving.batches import BatchHandle, BatchStatus, could_be, may_have_arrived
from serving.errors import StepwellError, TierMisconfigured, TierRateLimited
from serving.settings.batch import BatchSettings

SKEW = timedelta(minutes=5)
"""By which a provider's clock may differ from ours."""
LIST_S, LIST_MOST_S = 5.0, 120.0
REFUSED_MOST_S = 600.0

_log = structlog.get_logger("stepwell.batch.hosted")


class Submitter:
    def __init__(
        self, store: HostedStore, verdicts: Verdicts, settings: BatchSettings, clock: Clock
    ) -> None:
        self._store = store
        self._verdicts = verdicts
        self._settings = settings
        self._clock = clock

    async def submit(self, hosted: HostedBatch, tier: BatchTier) -> None:
        """An intent that has not left."""
        sending = await self._store.begin_sending(hosted)
        if sending is None:
            return
        lines = await self._store.prepared(sending)
        if len(lines) != sending.lines:  # a line was taken away just now
            if not lines:
                await self._store.change(sending, state="done", owner=None)
                return
            changed = await self._store.change(sending, lines=len(lines))
            if changed is None:
                return
            sending = changed
        try:
            handle = await tier.backend.submit(lines, tag=sending.id)
        except StepwellError as error:
            await self._not_submitted(sending, error)
        else:
            await self._submitted(sending, handle, adopted=False)

    async def find(self, hosted: HostedBatch, tier: BatchTier) -> None:
        """One that may be at the provider or not."""
        now = self._clock()
        if hosted.state == "sending":  # whoever sent it is gone
            found = await self._store.change(hosted, state="ambiguous", ambiguous_at=now, tries=0)
            if found is None:
                return
            hosted = found
            self._verdicts.ambiguous(hosted)
        assert hosted.ambiguous_at is not None, "it is set with the state"
        try:
            listed = await self._listed(hosted, tier)
        except StepwellError as error:
            _log.warning("hosted_batches_not_listed", tier=tier.name, error=error.code)
            await self._look_again(hosted)
            return
        others = await self._store.others(hosted)
        candidates = could_be(listed, lines=hosted.lines, tag=hosted.id, known=others.known)
        sure = [c for c in candidates if c.tag is not None]
        candidates = sure or candidates
        alone = not (others.searching or others.unproven)
        if len(candidates) == 1 and (sure or alone):
            await self._submitted(hosted, candidates[0], adopted=not sure)
        elif candidates:
            await self._prove(hosted, tier, candidates, listed)
        else:
            await self._missing(hosted, others)

    async def _listed(self, hosted: HostedBatch, tier: BatchTier) -> list[BatchStatus]:
        """What the provider created while this batch may have been on its way: whoever sent it may
        have lost his lease and gone on, for as long as a submit takes.
        """
        assert hosted.sent_at is not None, "it may have left"
        assert hosted.ambiguous_at is not None, "it is set with the state"
        latest = hosted.ambiguous_at + max(SKEW, timedelta(seconds=self._settings.ambiguous_s))
        found = [status async for status in tier.backend.list(hosted.sent_at - SKEW)]
        return [status for status in found if status.handle.created_at <= latest]

    async def _submitted(self, hosted: HostedBatch, handle: BatchHandle, *, adopted: bool) -> None:
        now = self._clock()
        await self._store.change(
            hosted,
            state="submitted",
            provider_id=handle.id,
            adopted=adopted,
            submitted_at=now,
            tries=0,
            next_at=now + timedelta(seconds=self._settings.hosted_poll_s),
            owner=None,
        )
        _log.info("hosted_batch_submitted", tier=hosted.tier, lines=hosted.lines, adopted=adopted)

    async def _not_submitted(self, hosted: HostedBatch, error: StepwellError) -> None:
        now = self._clock()
        if may_have_arrived(error):
            found = await self._store.change(
                hosted,
                state="ambiguous",
                ambiguous_at=now,
                tries=0,
                next_at=now + timedelta(seconds=LIST_S),
                reason=error.code,
                owner=None,
            )
            if found is not None:
                self._verdicts.ambiguous(hosted)
            return
        _log.warning("hosted_batch_refused", tier=hosted.tier, error=error.code)
        if isinstance(error, TierRateLimited | TierMisconfigured):  # it has not left
            first = max(self._settings.hosted_poll_s, error.retry_after or 0.0)
            wait = pause(hosted.tries, first_s=first, most_s=max(first, REFUSED_MOST_S))
            await self._store.change(
                hosted,
                state="intent",
                tries=hosted.tries + 1,
                next_at=now + wait,
                reason=error.code,
                owner=None,
            )
            return
        await self._verdicts.give_up(hosted, f"refused: {error.code}", for_good=True)

    async def _prove(
        self,
        hosted: HostedBatch,
        tier: BatchTier,
        candidates: list[BatchHandle],
        listed: list[BatchStatus],
    ) -> None:
        """Several could be it, or it could be another's: their lines tell, once they have ended."""
        ended = {status.handle.id for status in listed if status.state == "ended"}
        rejected = list(hosted.rejected)
        for candidate in candidates:
            if candidate.id not in ended:
                continue
            if await self._is(hosted, tier, candidate.id):
                await self._submitted(hosted, candidate, adopted=False)
                return
            rejected.append(candidate.id)
        await self._look_again(hosted, rejected)

    async def _is(self, hosted: HostedBatch, tier: BatchTier, provider_id: str) -> bool:
        """By one of its results: ids of lines are nobody else's."""
        results = tier.backend.collect(provider_id)
        try:
            async for result in results:
                return await self._store.custom_ids(hosted, [result.custom_id])
        finally:
            await results.aclose()
        return False

    async def _missing(self, hosted: HostedBatch, others: Others) -> None:
        """It is in no list. After the time in which it would have come to be there, it is nowhere:
        no one is left who could still send it.
        """
        assert hosted.ambiguous_at is not None, "it is set with the state"
        over = hosted.ambiguous_at + timedelta(seconds=self._settings.ambiguous_s)
        if self._clock() < over or others.unproven:
            await self._look_again(hosted)
        else:
            await self._verdicts.free(hosted, "it is in no list of the provider")

    async def _look_again(self, hosted: HostedBatch, rejected: list[str] | None = None) -> None:
        wait = pause(hosted.tries, first_s=LIST_S, most_s=LIST_MOST_S)
        await self._store.change(
            hosted,
            tries=hosted.tries + 1,
            next_at=self._clock() + wait,
            rejected=hosted.rejected if rejected is None else rejected,
            owner=None,
        )
