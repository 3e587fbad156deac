"""One goes ahead, the others wait, and nobody waits for nothing."""

import asyncio

import pytest

from cache.prompt.fanout import FanOut


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_behind_wait_until_the_answer_has_begun() -> None:
    fan_out = FanOut()
    with fan_out.lead([b"long", b"short"]) as lead:
        assert fan_out.ahead([b"short"]) is lead
        assert fan_out.ahead([b"other"]) is None
        waiting = [asyncio.create_task(fan_out.wait(lead, 10)) for _ in range(3)]
        await settle()
        assert fan_out.waiting == 3
        assert not any(task.done() for task in waiting)
        lead.began()
        assert await asyncio.gather(*waiting) == [True] * 3
    assert fan_out.ahead([b"long", b"short"]) is None
    assert fan_out.waiting == 0


async def test_the_longest_prefix_in_work_counts() -> None:
    fan_out = FanOut()
    with fan_out.lead([b"short"]) as one, fan_out.lead([b"short", b"long"]) as other:
        assert other.keys == (b"long",)
        assert fan_out.ahead([b"long", b"short"]) is other
        other.began()
        assert fan_out.ahead([b"long", b"short"]) is one


async def test_a_lead_that_fails_is_handed_over() -> None:
    fan_out = FanOut()
    led: list[int] = []

    async def call(number: int) -> None:
        assert await fan_out.clear([b"k"], 10)
        with fan_out.lead([b"k"]):
            led.append(number)
            await asyncio.sleep(0)
            if number < 2:
                raise ConnectionError

    calls = [asyncio.create_task(call(i)) for i in range(5)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert led == [0, 1, 2, 3, 4]
    assert [isinstance(f, ConnectionError) for f in found] == [True, True, False, False, False]


async def test_a_cancelled_lead_lets_the_others_go() -> None:
    fan_out = FanOut()

    async def hang() -> None:
        with fan_out.lead([b"k"]):
            await asyncio.Event().wait()

    leader = asyncio.create_task(hang())
    await settle()
    lead = fan_out.ahead([b"k"])
    assert lead is not None
    waiting = asyncio.create_task(fan_out.wait(lead, 10))
    await settle()
    leader.cancel()
    assert await waiting
    assert fan_out.ahead([b"k"]) is None


async def test_a_wait_has_an_end() -> None:
    fan_out = FanOut()
    with fan_out.lead([b"k"]) as lead:
        assert not await fan_out.wait(lead, 0.01)
        assert not await fan_out.wait(lead, 0.0)
        assert not await fan_out.clear([b"other", b"k"], 0.01)
        assert await fan_out.clear([b"other"], 0.01)
        gone = asyncio.create_task(fan_out.wait(lead, 10))
        await settle()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert fan_out.waiting == 0


async def test_a_crowd_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cache.prompt.fanout.MAX_WAITING", 1)
    fan_out = FanOut()
    with fan_out.lead([b"k"]) as lead:
        first = asyncio.create_task(fan_out.wait(lead, 10))
        await settle()
        assert not await fan_out.wait(lead, 10)
        lead.began()
        assert await first
