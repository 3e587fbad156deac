"""Calls leave one after the other; times are real, so limits here refill within a second."""

import asyncio
import time
from itertools import pairwise

import pytest

from serving.allowance import Allowance
from serving.engines.guard.pace import Pace
from serving.engines.guard.slots import WaitedTooLong
from serving.engines.guard.turns import NothingLeft, Turns
from tests.serving.engines.guard.helpers import settle


def scarce(remaining: int, reset_s: float) -> tuple[Allowance, ...]:
    return (Allowance("calls", 100, remaining, reset_s),)


def turns(remaining: int | None, reset_s: float) -> tuple[Turns, Pace]:
    pace = Pace()
    if remaining is not None:
        pace.leaves()
        pace.report(scarce(remaining, reset_s), 0.0)
    return Turns(pace), pace


async def test_nobody_waits_while_nothing_is_scarce() -> None:
    them, _ = turns(None, 0)
    began = time.monotonic()
    for _ in range(1_000):
        await them.take(0.0)
    assert time.monotonic() - began < 0.5


async def test_turns_come_in_order_and_apart() -> None:
    them, _ = turns(15, 3.0)
    left: list[tuple[int, float]] = []

    async def go(number: int) -> None:
        await them.take(5.0)
        left.append((number, time.monotonic()))

    await asyncio.gather(*(go(n) for n in range(3)))
    assert [n for n, _ in left] == [0, 1, 2]
    gaps = [b - a for (_, a), (_, b) in pairwise(left)]
    assert min(gaps) > 0.1


async def test_who_is_only_slowed_leaves_when_its_patience_ends() -> None:
    them, _ = turns(1, 30.0)
    began = time.monotonic()
    await them.take(0.05)
    assert 0.04 < time.monotonic() - began < 5


async def test_nothing_left_is_said_at_once_to_who_cannot_wait_for_it() -> None:
    them, _ = turns(0, 30.0)
    with pytest.raises(NothingLeft) as caught:
        await them.take(5.0)
    assert 29 < caught.value.wait.seconds <= 30


async def test_who_can_wait_for_the_reset_does() -> None:
    them, _ = turns(0, 0.1)
    began = time.monotonic()
    await them.take(5.0)
    assert 0.09 < time.monotonic() - began < 4


async def test_news_are_heard_while_waiting() -> None:
    them, pace = turns(0, 0.1)
    waiting = asyncio.create_task(them.take(0.5))
    await settle()
    pace.report(scarce(0, 1.2), 0.0)
    with pytest.raises(NothingLeft):
        await waiting


async def test_others_in_front_for_too_long() -> None:
    them, _ = turns(1, 30.0)
    first = asyncio.create_task(them.take(60.0))
    await settle()
    with pytest.raises(WaitedTooLong):
        await them.take(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_who_can_wait_comes_behind_who_came_later() -> None:
    them, pace = turns(0, 30.0)
    order: list[str] = []

    async def go(name: str) -> None:
        await them.take(60.0, idle=name.startswith("idle"))
        order.append(name)

    tasks = [asyncio.create_task(go(name)) for name in ("idle 1", "idle 2")]
    await settle()
    with pytest.raises(NothingLeft):
        await them.take(5.0)
    tasks += [asyncio.create_task(go(name)) for name in ("one", "two")]
    await settle()
    pace.report(scarce(15, 0.3), -0.001)  # who sleeps looks again when the first limit would reset
    tasks[2].cancel()
    await asyncio.wait_for(tasks[3], 5)
    assert order == ["two"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    pace.report(scarce(100, 30.0), -0.002)
    await asyncio.wait_for(them.take(1.0, idle=True), 2)


async def test_who_can_wait_leaves_once_it_may_and_not_later_than_it_can() -> None:
    them, _ = turns(0, 0.1)
    await asyncio.wait_for(asyncio.gather(*(them.take(30.0, idle=True) for _ in range(3))), 10)
    slowed, _ = turns(1, 30.0)
    began = time.monotonic()
    await slowed.take(0.05, idle=True)
    assert 0.04 < time.monotonic() - began < 5
    with pytest.raises(NothingLeft):
        await turns(0, 30.0)[0].take(5.0, idle=True)


async def test_all_that_wait_can_be_sent_away_and_nothing_is_left_behind() -> None:
    them, pace = turns(1, 30.0)
    waiting = [asyncio.create_task(them.take(60.0, idle=n > 2)) for n in range(6)]
    await settle()
    them.end_waits()
    ended = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 2)
    assert [type(e) for e in ended] == [WaitedTooLong] * 6
    pace.report(scarce(100, 30.0), -0.001)
    await asyncio.wait_for(them.take(0.0), 2)


async def test_one_that_is_cancelled_lets_the_next_go() -> None:
    them, pace = turns(1, 30.0)
    first = asyncio.create_task(them.take(60.0))
    second = asyncio.create_task(them.take(60.0))
    await settle()
    pace.report(scarce(100, 30.0), -0.001)
    first.cancel()
    await asyncio.wait_for(second, 2)
    await asyncio.gather(first, return_exceptions=True)
