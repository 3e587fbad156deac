"""Turns of batches, and results that are written together."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from serving.batch.commits import Commits
from serving.batch.turns import in_turn
from serving.batch.values import Batch, utc_now

NOW = utc_now()
BATCH = Batch("", "", None, "", "", "24h", None, "in_progress", NOW, NOW)


def test_tenants_take_turns() -> None:
    running = [replace(BATCH, id=name, tenant=name[0]) for name in ("a1", "a2", "a3", "b1", "c1")]
    assert [b.id for b in in_turn(running, 0)] == ["a1", "b1", "c1", "a2", "a3"]
    assert [b.id for b in in_turn(running, 4)] == ["b1", "c1", "a1", "a2", "a3"]
    assert in_turn([], 3) == []


async def test_what_comes_during_a_write_is_written_together() -> None:
    written: list[list[int]] = []
    go, begun = asyncio.Event(), asyncio.Event()

    async def write(items: Sequence[int]) -> None:
        written.append(list(items))
        begun.set()
        await go.wait()

    commits = Commits(write)
    first = asyncio.create_task(commits.put(1))
    await begun.wait()
    others = [asyncio.create_task(commits.put(i)) for i in (2, 3, 4)]
    await asyncio.sleep(0)
    others[0].cancel()
    go.set()
    await asyncio.gather(first, *others[1:])
    assert written == [[1], [2, 3, 4]]
    await commits.idle()


async def test_a_write_that_fails_is_told_to_those_who_wait_for_it() -> None:
    async def write(items: Sequence[int]) -> None:
        if 1 in items:
            raise ValueError("away")

    commits = Commits(write)
    with pytest.raises(ValueError, match="away"):
        await commits.put(1)
    await commits.put(2)
