"""Slots are bounded, first come, first served, and none is ever lost."""

import asyncio

import pytest

from serving.engines.guard.slots import QueueFull, Slots, WaitedTooLong
from tests.serving.engines.guard.helpers import settle


async def test_first_come_first_served_and_who_comes_late_does_not_overtake() -> None:
    slots = Slots(1, max_queued=10)
    first = await slots.acquire(5)
    order: list[int] = []

    async def take(number: int) -> None:
        slot = await slots.acquire(5)
        order.append(number)
        await asyncio.sleep(0)
        slots.release(slot)

    tasks = [asyncio.create_task(take(n)) for n in range(5)]
    await settle()
    assert (slots.running, slots.queued) == (1, 5)
    slots.release(first)
    tasks.append(asyncio.create_task(take(5)))
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4, 5]
    assert (slots.running, slots.queued) == (0, 0)


async def test_beyond_the_queue_at_once() -> None:
    slots = Slots(1, max_queued=1)
    await slots.acquire(5)
    waiting = asyncio.create_task(slots.acquire(5))
    await settle()
    with pytest.raises(QueueFull):
        await slots.acquire(5)
    waiting.cancel()
    await settle()
    assert slots.queued == 0


async def test_a_wait_ends_in_time_and_leaves_the_queue() -> None:
    slots = Slots(1, max_queued=1)
    slot = await slots.acquire(0)
    for seconds in (0.02, 0.0, -1.0):
        with pytest.raises(WaitedTooLong):
            await slots.acquire(seconds)
    assert (slots.running, slots.queued) == (1, 0)
    slots.release(slot)
    assert slots.running == 0


async def test_a_cancelled_waiter_passes_its_turn_on() -> None:
    slots = Slots(1, max_queued=5)
    first = await slots.acquire(5)
    one, two = (asyncio.create_task(slots.acquire(5)) for _ in range(2))
    await settle()
    slots.release(first)  # it is the turn of `one`, which is cancelled before it runs
    one.cancel()
    second = await two
    with pytest.raises(asyncio.CancelledError):
        await one
    assert (slots.running, slots.queued) == (1, 0)
    slots.release(second)
    assert slots.running == 0


async def test_the_limit_can_change_while_calls_run_and_wait() -> None:
    slots = Slots(1, max_queued=5)
    held = [await slots.acquire(5)]
    waiting = [asyncio.create_task(slots.acquire(5)) for _ in range(3)]
    await settle()
    slots.resize(3)
    await settle()
    assert (slots.running, slots.queued, slots.limit) == (3, 1, 3)
    held += [task.result() for task in waiting if task.done()]
    slots.resize(1)
    slots.release(held.pop())
    slots.release(held.pop())
    await settle()
    assert (slots.running, slots.queued) == (1, 1)
    slots.release(held.pop())
    await settle()
    assert (slots.running, slots.queued) == (1, 0)


async def test_all_waits_can_be_ended() -> None:
    slots = Slots(1, max_queued=5)
    slot = await slots.acquire(5)
    waiting = [asyncio.create_task(slots.acquire(60)) for _ in range(3)]
    await settle()
    slots.end_waits()
    slots.end_waits()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(e) for e in ended] == [WaitedTooLong] * 3
    assert (slots.running, slots.queued) == (1, 0)
    slots.release(slot)


async def test_no_slot_is_lost_whatever_happens_to_those_that_wait() -> None:
    slots = Slots(3, max_queued=1_000)

    async def use(number: int) -> None:
        slot = await slots.acquire(0.001 * (number % 5))
        try:
            await asyncio.sleep(0.0005 * (number % 3))
        finally:
            slots.release(slot)

    served = cancelled = 0
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
        served += sum(e is None for e in done)
        cancelled += sum(isinstance(e, asyncio.CancelledError) for e in done)
        assert {type(e) for e in done} <= {type(None), asyncio.CancelledError, WaitedTooLong}
        assert (slots.running, slots.queued) == (0, 0)
    assert served
    assert cancelled
