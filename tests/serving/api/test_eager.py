"""Work that is begun at once behaves as work that is awaited."""

import asyncio

import pytest

from serving.api.eager import Begun


async def test_work_that_never_waits_is_done_at_once() -> None:
    async def work() -> str:
        return "answer"

    begun = Begun(work())
    assert begun.done
    assert begun.result == "answer"
    assert await begun == "answer"


async def test_work_that_waits_goes_on_where_it_was() -> None:
    steps: list[str] = []

    async def work() -> str:
        steps.append("began")
        await asyncio.sleep(0.01)
        steps.append("slept")
        await asyncio.sleep(0)
        return "answer"

    begun = Begun(work())
    assert not begun.done
    assert steps == ["began"]
    assert await begun == "answer"
    assert steps == ["began", "slept"]


@pytest.mark.parametrize("waits", [False, True])
async def test_what_it_raises_is_raised(waits: bool) -> None:
    async def work() -> None:
        if waits:
            await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await Begun(work())


async def test_a_cancellation_reaches_the_work() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def asking() -> None:
        await Begun(work())

    task = asyncio.create_task(asking())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]


async def test_a_timeout_around_it_ends_it() -> None:
    async def work() -> None:
        await asyncio.sleep(10)

    begun = Begun(work())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await begun
