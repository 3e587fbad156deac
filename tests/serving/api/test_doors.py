"""Closing with requests inside."""

import asyncio

from serving.api.doors import Doors


async def test_closed_and_empty() -> None:
    doors = Doors()
    doors.close()
    assert await doors.empty(0.1)


async def test_the_last_one_out_is_waited_for() -> None:
    doors = Doors()

    async def visit(seconds: float) -> None:
        with doors:
            await asyncio.sleep(seconds)

    visits = [asyncio.create_task(visit(s)) for s in (0.01, 0.05)]
    await asyncio.sleep(0)
    doors.close()
    assert not await doors.empty(0.02)
    assert doors.inside == 1
    assert await doors.empty(1)
    await asyncio.gather(*visits)


async def test_open_doors_are_never_empty() -> None:
    doors = Doors()
    with doors:
        pass
    assert not await doors.empty(0.01)
