"""Calls that arrive together with one cold prefix, against the emulator."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from cache.prompt.chain import Block, Plan
from cache.prompt.policy import PrefixPolicy
from serving.errors import TierUnavailable
from serving.wire.chat import ChatRequest
from serving.wire.completion import Assembler, Choice, Completion, Usage
from tests.cache.prompt.helpers import CACHE_PRICES, EndOfSystem, call, chat, notes, rules, system
from tests.cache.prompt.stack import QUESTION, Held, Stack, stack, until
from tests.serving.hosted.fakes import Scripted, answer, tool_answer


class Counting(EndOfSystem):
    planned = 0

    def plan(self, chain: Sequence[Block], now: float, *, scope: str = "") -> Plan:
        self.planned += 1
        return super().plan(chain, now)


def with_a_document(i: int) -> ChatRequest:
    parts = [{"type": "text", "text": rules(100)}, {"type": "text", "text": f"Line {i}?"}]
    return chat(system("Answer."), {"role": "user", "content": parts})


@pytest.mark.parametrize(
    "request_of", [lambda i: chat(system(rules()), f"Question {i}?"), with_a_document]
)
async def test_two_hundred_calls_with_one_cold_prefix_write_it_once(
    request_of: Callable[[int], ChatRequest],
) -> None:
    """Under the policy that is in use: nobody has seen what they share."""
    model = Held()
    async with stack(PrefixPolicy(CACHE_PRICES, 512), backend=model) as at:
        calls = [asyncio.create_task(at.ask(request_of(i))) for i in range(200)]
        await until(lambda: at.planned.waiting == 199)
        assert len(at.spy.seen) == 1
        model.may.set()
        await asyncio.gather(*calls)
    written = [u.cache_write_tokens for u in at.usages if u.cache_write_tokens > 100]
    read = {u.cached_tokens for u in at.usages}
    assert len(written) == 1
    assert read - {0} == {max(read)}
    assert sum(u.cached_tokens > 0 for u in at.usages) == 199
    assert 0 < written[0] - max(read) < 50  # a question
    assert at.spy.streamed == 1
    assert at.count("waits_total", tier="opus", result="released") == 199


async def test_streams_wait_as_well() -> None:
    model = Held()

    async def read(at: Stack, i: int) -> Usage:
        parts = Assembler()
        async with aclosing(
            at.planned.stream(chat(system(rules()), f"Question {i}?"), call())
        ) as chunks:
            async for chunk in chunks:
                parts.add(chunk)
        return parts.completion().usage

    async with stack(backend=model) as at:
        calls = [asyncio.create_task(read(at, i)) for i in range(8)]
        await model.started.wait()
        model.may.set()
        usages = await asyncio.gather(*calls)
    assert sum(u.cache_write_tokens > 0 for u in usages) == 1


async def test_a_leader_that_fails_hands_over() -> None:
    policy = EndOfSystem()
    async with stack(policy) as at:
        at.spy.fail = 2
        calls = [asyncio.create_task(at.ask()) for _ in range(6)]
        found = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(f, TierUnavailable) for f in found) == 2
    assert sum(u.cache_write_tokens > 0 for u in at.usages) == 1
    assert len(at.usages) == 4
    assert policy.corrected == [0, 0]


async def test_a_tier_that_is_down_costs_no_plan_a_failure() -> None:
    """Everybody leads once and fails; nobody plans anew for each who failed before."""
    policy = Counting()
    async with stack(policy) as at:
        at.spy.fail = 100
        calls = [asyncio.create_task(at.ask()) for _ in range(100)]
        found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(f, TierUnavailable) for f in found)
    assert policy.planned < 300


async def test_a_leader_that_is_cancelled_hands_over() -> None:
    model = Held()
    async with stack(backend=model) as at:
        leader = asyncio.create_task(at.ask())
        await model.started.wait()
        others = [asyncio.create_task(at.ask()) for _ in range(3)]
        model.started.clear()
        leader.cancel()
        await model.started.wait()
        model.may.set()
        await asyncio.gather(*others)
    assert sum(u.cache_write_tokens > 0 for u in at.usages) == 1


async def test_nobody_waits_for_ever() -> None:
    model = Held()
    async with stack(backend=model, wait_s=0.05) as at:
        leader = asyncio.create_task(at.ask())
        await model.started.wait()
        model.started.clear()
        to = call()
        other = asyncio.create_task(at.ask(to=to))
        await model.started.wait()
        model.may.set()
        await asyncio.gather(leader, other)
    decisions = [decision for decision, _ in notes(to)]
    assert decisions[0].startswith("waited 0.")
    assert decisions[-1] == "not_begun"
    assert at.count("waits_total", tier="opus", result="late") == 1


@pytest.mark.parametrize(
    "reply",
    [answer("Paris."), tool_answer(("c1", "weather", '{"city":"Rome"}')), answer(None)],
)
async def test_who_leads_gets_the_answer_that_a_single_call_gets(reply: Completion) -> None:
    async with stack(backend=Scripted(reply)) as at:
        led = await at.planned.complete(chat(*QUESTION), call())
        single = await at.planned.complete(chat(*QUESTION), call())
    assert at.spy.streamed == 1
    assert _comparable(led.first) == _comparable(single.first)
    assert led.model == single.model


def _comparable(choice: Choice) -> tuple[Any, ...]:
    calls = [(c.index, c.name, c.arguments) for c in choice.tool_calls]
    return choice.content, calls, choice.finish_reason, choice.refusal, choice.reasoning
