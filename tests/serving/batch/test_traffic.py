"""Lines step back while somebody waits for an answer."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from serving.backend import Call
from serving.batch.traffic import CALM_S, Traffic
from serving.settings.batch import BatchSettings
from tests.serving.api.scripted import Scripted
from tests.serving.batch.stack import ended, line, stack, submit
from tests.serving.hosted.fakes import chat


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def asked() -> Call:
    return Call("req-1", "acme", time.monotonic() + 10)


async def test_it_is_busy_while_somebody_waits_and_a_moment_longer() -> None:
    clock, go = Clock(), asyncio.Event()
    traffic = Traffic(Scripted(steps=(go, "Hi")), clock=clock)
    task = asyncio.create_task(traffic.complete(chat("Hi"), asked()))
    await asyncio.sleep(0)
    clock.now += 60
    assert traffic.busy
    go.set()
    assert (await task).first.content == "Hi"
    found = [traffic.busy]
    clock.now += CALM_S
    assert [*found, traffic.busy] == [True, False]


async def test_streams_count_until_they_are_closed() -> None:
    clock = Clock()
    traffic = Traffic(Scripted(), clock=clock)
    stream = traffic.stream(chat("Hi"), asked())
    await anext(stream)
    clock.now += 60
    assert traffic.busy
    await stream.aclose()
    clock.now += CALM_S
    assert not traffic.busy


async def test_what_is_offline_does_not_count() -> None:
    traffic = Traffic(Scripted())
    await traffic.complete(chat("Hi"), replace(asked(), urgency="offline"))
    assert not traffic.busy


@pytest.mark.parametrize(("busy", "most"), [(True, 2), (False, 6)])
async def test_few_lines_run_at_once_while_others_wait(
    tmp_path: Path, busy: bool, most: int
) -> None:
    batch, go = BatchSettings(poll_s=0.02, concurrency=6, busy_concurrency=2), asyncio.Event()
    backend = Scripted(steps=("Hi", go))
    async with stack(backend, tmp_path, batch=batch, busy=lambda: busy) as s:
        made = await submit(s.client, [line(str(i)) for i in range(12)])
        async with asyncio.timeout(30):
            while backend.running < most:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.005)
        await asyncio.sleep(5 * batch.poll_s)  # in which another one would begin
        assert backend.running == most
        go.set()
        assert (await ended(s.client, made.id)).status == "completed"
