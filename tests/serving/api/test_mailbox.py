"""Handing over what is ready, all at once and in order."""

import asyncio
import time

import pytest

from serving.api.mailbox import Mailbox


async def test_all_that_is_ready_is_taken_together_without_waiting() -> None:
    box = Mailbox[int](room=10, writers=1)
    for i in range(3):
        await box.put(i)
    began = time.monotonic()
    assert await box.take(5) == [0, 1, 2]
    assert time.monotonic() - began < 0.1
    assert not box.ended


async def test_a_reader_wakes_for_the_first_item() -> None:
    box = Mailbox[str](room=10, writers=1)
    reader = asyncio.create_task(box.take(5))
    await asyncio.sleep(0)
    await box.put("a")
    assert await reader == ["a"]


async def test_nothing_in_time_is_an_empty_list() -> None:
    box = Mailbox[str](room=10, writers=1)
    assert await box.take(0.01) == []
    assert await box.take(-1) == []
    assert not box.ended


async def test_it_has_ended_when_every_writer_has_and_all_was_taken() -> None:
    box = Mailbox[str](room=10, writers=2)
    await box.put("a")
    box.end()
    box.end()
    states = [(box.ended, await box.take(5), box.ended)]
    states.append((box.ended, await box.take(5), box.ended))
    assert states == [(False, ["a"], True), (True, [], True)]


async def test_an_end_wakes_the_reader() -> None:
    box = Mailbox[str](room=10, writers=1)
    reader = asyncio.create_task(box.take(5))
    await asyncio.sleep(0)
    box.end()
    assert await reader == []


async def test_items_come_before_the_failure_and_the_first_failure_counts() -> None:
    box = Mailbox[str](room=10, writers=2)
    await box.put("a")
    box.fail(KeyError("first"))
    box.fail(ValueError("second"))
    assert await box.take(5) == ["a"]
    assert not box.ended
    with pytest.raises(KeyError):
        await box.take(5)


async def test_a_failure_at_once_drops_what_waits() -> None:
    box = Mailbox[str](room=10, writers=1)
    await box.put("a")
    box.fail(KeyError(), at_once=True)
    with pytest.raises(KeyError):
        await box.take(5)


async def test_writers_wait_for_room() -> None:
    box = Mailbox[int](room=3, writers=2)
    put: list[int] = []

    async def write(start: int) -> None:
        for i in range(start, start + 10):
            await box.put(i)
            put.append(i)
        box.end()

    writers = [asyncio.create_task(write(start)) for start in (0, 100)]
    await asyncio.sleep(0.02)
    assert len(put) < 4
    taken: list[int] = []
    while not box.ended:
        items = await box.take(1)
        assert len(items) <= 4  # a waiting writer's item stands in the box already
        taken += items
    await asyncio.gather(*writers)
    assert sorted(taken) == [*range(10), *range(100, 110)]
    assert [i for i in taken if i < 100] == list(range(10))
