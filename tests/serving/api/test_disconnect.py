"""Work that ends with its client."""

import asyncio

import pytest
from starlette.types import Message

from serving.api.disconnect import ClientGone, unless_gone


class Client:
    """`receive` of a client that stays until it leaves."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_the_result_comes_through_and_nothing_stays_behind() -> None:
    async def work() -> str:
        await asyncio.sleep(0.01)
        return "done"

    before = asyncio.all_tasks()
    assert await unless_gone(Client().receive, work()) == "done"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_an_error_comes_through() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await unless_gone(Client().receive, work())


async def test_leaving_cancels_the_work_and_waits_for_its_end() -> None:
    client, ended = Client(), []

    async def work() -> None:
        try:
            client.left.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    with pytest.raises(ClientGone):
        await unless_gone(client.receive, work())
    assert ended
    assert cancelling() == 0


async def test_who_cancels_the_caller_cancels_the_work() -> None:
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    caller = asyncio.create_task(unless_gone(Client().receive, work()))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_deadline_of_the_callers_is_the_callers() -> None:
    client = Client()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await unless_gone(client.receive, asyncio.Event().wait())


async def test_work_that_finishes_although_cancelled_still_ends_as_left() -> None:
    """Nobody is left to read the answer, but the task must not stay half cancelled either."""
    client = Client()

    async def stubborn() -> str:
        client.left.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "answered anyway"
        return "unreachable"

    assert await unless_gone(client.receive, stubborn()) == "answered anyway"
    assert cancelling() == 0


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()
