import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from serving.hosted.emulator.clock import MAX_ADVANCE_S, Clock


class Source:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def noting(clock: Clock, seen: list[float]) -> Callable[[], Awaitable[None]]:
    async def ring() -> None:
        seen.append(clock())

    return ring


async def test_a_clock_runs_with_its_source_and_can_be_advanced() -> None:
    source = Source()
    clock = Clock(movable=True, source=source, epoch=datetime(2026, 1, 1, tzinfo=UTC))
    assert clock() == 100.0
    source.now = 105.0
    await clock.advance(3_600)
    assert clock() == 105.0 + 3_600
    source.now = 106.0
    assert clock() == 106.0 + 3_600
    assert clock.date() == datetime(2026, 1, 1, 1, 0, 6, tzinfo=UTC)
    assert clock.date(100.0) == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_clock_that_stands_still_moves_only_when_told() -> None:
    source = Source()
    clock = Clock(movable=True, running=False, source=source)
    source.now = 500.0
    assert clock() == 100.0
    await clock.advance(7)
    assert clock() == 107.0


async def test_what_cannot_be_moved() -> None:
    with pytest.raises(ValueError, match="cannot be moved"):
        await Clock().advance(1)
    with pytest.raises(ValueError, match="must be movable"):
        Clock(running=False)
    for wrong in (-1.0, MAX_ADVANCE_S + 1, float("nan")):
        with pytest.raises(ValueError, match="advanced by"):
            await Clock(movable=True).advance(wrong)


async def test_alarms_ring_in_order_and_find_the_clock_at_their_time() -> None:
    clock = Clock(movable=True, running=False, source=Source())
    seen: list[float] = []
    again = noting(clock, seen)

    async def twice() -> None:
        await again()
        clock.alarm(clock() + 5, again)

    clock.alarm(130.0, again)
    clock.alarm(110.0, twice)
    clock.alarm(190.0, again)
    await clock.advance(50)
    assert seen == [110.0, 115.0, 130.0]
    assert clock() == 150.0
    await clock.advance(40)
    assert seen == [110.0, 115.0, 130.0, 190.0]


@pytest.mark.parametrize("running", [True, False])
async def test_what_is_due_rings_without_anyone_moving_the_clock(running: bool) -> None:
    clock = Clock(movable=True, running=running)
    rung = asyncio.Event()

    async def ring() -> None:
        rung.set()

    clock.alarm(clock() + (0.02 if running else 0), ring)
    async with asyncio.timeout(5):
        await rung.wait()
    await clock.aclose()


async def test_an_alarm_that_is_set_behind_a_later_one_is_not_missed() -> None:
    clock = Clock()
    rung = asyncio.Event()

    async def late() -> None:
        raise AssertionError("an hour has not passed")

    async def ring() -> None:
        rung.set()

    clock.alarm(clock() + 3_600, late)
    await asyncio.sleep(0)
    clock.alarm(clock() + 0.01, ring)
    async with asyncio.timeout(5):
        await rung.wait()
    await clock.aclose()


async def test_closing_keeps_what_is_set_from_ringing() -> None:
    clock = Clock(movable=True, running=False)
    seen: list[float] = []
    clock.alarm(clock() + 1, noting(clock, seen))
    await clock.aclose()
    await clock.advance(10)
    assert seen == []


async def test_an_advance_that_is_given_up_leaves_the_clock_running() -> None:
    source = Source()
    clock = Clock(movable=True, source=source)
    stuck = asyncio.Event()

    async def hang() -> None:
        stuck.set()
        await asyncio.sleep(3_600)

    clock.alarm(150.0, hang)
    moving = asyncio.create_task(clock.advance(100))
    await stuck.wait()
    assert clock() == 150.0
    moving.cancel()
    await asyncio.gather(moving, return_exceptions=True)
    source.now = 101.0
    assert clock() == 201.0
