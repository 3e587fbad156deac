"""The guard of an embedder keeps to the same rules as that of a tier."""

import asyncio

import pytest

from serving.engines.guard.guard import GuardedEmbedder
from serving.errors import (
    TierCircuitOpen,
    TierPaused,
    TierQueueFull,
    TierRateLimited,
    TierUnavailable,
)
from serving.settings.tiers import TierLimits
from tests.serving.engines.embedders import Embeds, asking, wanted
from tests.serving.engines.helpers import engine, tier


def guarded(inner: Embeds, **limits: object) -> GuardedEmbedder:
    return GuardedEmbedder(inner, tier(engine(), limits=TierLimits.model_validate(limits)))


async def test_it_runs_so_many_at_once_and_lets_some_wait() -> None:
    inner = Embeds(hang=True)
    guard = guarded(inner, max_concurrent=1, max_queued=1)
    running = asyncio.create_task(guard.embed(wanted(), asking()))
    await inner.called.wait()
    waiting = asyncio.create_task(guard.embed(wanted(), asking()))
    await asyncio.sleep(0)  # it queues before its first wait
    assert guard.state.queued == 1
    with pytest.raises(TierQueueFull):
        await guard.embed(wanted(), asking())
    assert (guard.state.running, len(inner.asked)) == (1, 1)
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert (guard.state.running, guard.state.queued) == (0, 0)


async def test_a_pause_that_it_asks_for_is_kept() -> None:
    guard = guarded(Embeds(TierRateLimited("slow", retry_after=30)))
    with pytest.raises(TierRateLimited):
        await guard.embed(wanted(), asking())
    with pytest.raises(TierPaused):
        await guard.embed(wanted(), asking())


async def test_what_fails_again_and_again_is_left_alone() -> None:
    inner = Embeds(TierUnavailable("down"), TierUnavailable("down"))
    guard = guarded(inner, breaker={"faults": 2, "reset_s": 60})
    for _ in range(2):
        with pytest.raises(TierUnavailable):
            await guard.embed(wanted(), asking())
    with pytest.raises(TierCircuitOpen):
        await guard.embed(wanted(), asking())
    assert len(inner.asked) == 2
