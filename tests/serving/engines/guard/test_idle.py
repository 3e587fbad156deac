"""Calls that can wait: behind all others, and as long as they have."""

import asyncio
import time
from dataclasses import replace

import pytest

from serving.backend import Call
from serving.engines.guard.slots import QueueFull, Slots, WaitedTooLong
from serving.errors import TierQueueFull, TierQueueTimeout
from tests.serving.engines.guard.helpers import ANSWER, Scripted, guard, settle
from tests.serving.engines.helpers import ask, call


def offline(seconds: float = 60.0) -> Call:
    return replace(call(), urgency="offline", deadline=time.monotonic() + seconds)


async def test_who_can_wait_comes_last_and_in_order() -> None:
    slots = Slots(1, max_queued=10)
    first, order = await slots.acquire(5), list[str]()

    async def take(name: str) -> None:
        slot = await (slots.acquire_idle if name.startswith("idle") else slots.acquire)(5)
        order.append(name)
        await asyncio.sleep(0)
        slots.release(slot)

    names = ("idle 1", "one", "idle 2", "two", "three")
    tasks = [asyncio.create_task(take(name)) for name in names]
    await settle()
    assert (slots.queued, slots.idle_queued) == (3, 2)
    slots.release(first)
    await asyncio.gather(*tasks)
    assert order == ["one", "two", "three", "idle 1", "idle 2"]
    assert (slots.running, slots.queued, slots.idle_queued) == (0, 0, 0)


async def test_some_slots_stay_free_for_others() -> None:
    slots = Slots(10, max_queued=10)
    held = [await slots.acquire_idle(0) for _ in range(9)]
    waiting = asyncio.create_task(slots.acquire_idle(5))
    await settle()
    assert (slots.running, slots.idle_queued) == (9, 1)
    held.append(await slots.acquire(0))  # the tenth is there for who cannot wait
    slots.release(held.pop())
    await settle()
    assert slots.idle_queued == 1
    slots.release(held.pop())
    held.append(await waiting)
    assert slots.running == 9


async def test_both_queues_are_bounded_by_themselves() -> None:
    slots = Slots(1, max_queued=1)
    slot = await slots.acquire(0)
    idle = asyncio.create_task(slots.acquire_idle(5))
    await settle()
    with pytest.raises(QueueFull):
        await slots.acquire_idle(5)
    other = asyncio.create_task(slots.acquire(5))
    await settle()
    slots.release(slot)
    slots.release(await other)
    slots.release(await idle)


async def test_no_slot_is_lost_whatever_happens_to_those_that_wait() -> None:
    slots = Slots(3, max_queued=1_000)

    async def use(number: int) -> None:
        acquire = slots.acquire_idle if number % 2 else slots.acquire
        slot = await acquire(0.001 * (number % 5))
        try:
            await asyncio.sleep(0.0005 * (number % 3))
        finally:
            slots.release(slot)

    for _ in range(5):
        tasks = [asyncio.create_task(use(n)) for n in range(100)]
        await asyncio.sleep(0.001)
        for task in tasks[::7]:
            task.cancel()
        slots.resize(2)
        await asyncio.sleep(0.001)
        slots.end_waits()
        slots.resize(3)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(e) for e in done} <= {type(None), asyncio.CancelledError, WaitedTooLong}
        assert (slots.running, slots.queued, slots.idle_queued) == (0, 0, 0)


async def test_a_slot_that_nobody_took_after_all_goes_to_who_can_wait() -> None:
    slots = Slots(1, max_queued=10)
    first = await slots.acquire(0)
    other = asyncio.create_task(slots.acquire(60))
    await settle()
    idle = asyncio.create_task(slots.acquire_idle(60))
    await settle()
    slots.release(first)  # to the other, which goes in the same moment
    other.cancel()
    await settle()
    assert other.cancelled()
    assert (slots.running, slots.idle_queued) == (1, 0)
    slots.release(await idle)
    assert slots.running == 0


async def test_it_waits_beyond_the_patience_that_others_have() -> None:
    tier = Scripted()
    tier.open.clear()
    it = guard(tier, max_concurrent=1, queue_timeout_s=0.01)
    running = asyncio.create_task(it.complete(ask(), call()))
    await settle()
    waiting = asyncio.create_task(it.complete(ask(), offline()))
    with pytest.raises(TierQueueTimeout):
        await it.complete(ask(), call())
    assert it.state.idle_queued == 1
    tier.open.set()
    assert [await running, await waiting] == [ANSWER, ANSWER]


async def test_it_is_told_so_before_its_deadline() -> None:
    tier = Scripted()
    tier.open.clear()
    it = guard(tier, max_concurrent=1, max_queued=1)
    running = asyncio.create_task(it.complete(ask(), call()))
    await settle()
    hurried = offline(0.3)
    waiting = asyncio.create_task(it.complete(ask(), hurried))
    await settle()
    with pytest.raises(TierQueueFull):
        await it.complete(ask(), offline())
    with pytest.raises(TierQueueTimeout):
        await waiting
    assert hurried.remaining > 0
    tier.open.set()
    await running
