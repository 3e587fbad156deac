"""A planned tier against the emulator, through the real SDK."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import structlog

from serving.backend import Call
from serving.errors import TierProtocolError, TierUnavailable
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk
from tests.cache.prompt.helpers import Clock as Seconds
from tests.cache.prompt.helpers import EndOfSystem, call, chat, notes, rules, system
from tests.cache.prompt.stack import QUESTION, Stack, stack
from tests.serving.hosted.fakes import Scripted


async def test_a_prefix_is_written_once_and_then_read() -> None:
    async with stack() as at:
        first, to = await at.ask(), call()
        again = await at.ask(to=to)
    assert first.cache_write_tokens > 800
    assert (again.cached_tokens, again.cache_write_tokens) == (first.cache_write_tokens, 0)
    assert notes(to) == [
        ("breakpoints: system[0] (5m)", "the end of the system"),
        (
            "hit",
            f"read {again.cached_tokens:,} and wrote 0 of {again.prompt_tokens:,} prompt tokens",
        ),
    ]
    labels = {"tier": "opus", "feature": "support"}
    assert at.count("calls_total", outcome="first_write", **labels) == 1
    assert at.count("calls_total", outcome="hit", **labels) == 1


async def test_tokens_are_counted_by_prefix_once_it_is_known() -> None:
    async with stack() as at:
        usages = [await at.ask() for _ in range(3)]
    samples = [
        (s.labels["prefix"], s.labels["billed"], s.value)
        for metric in at.metrics.registry.collect()
        for s in metric.samples
        if s.name == "stepwell_prompt_cache_tokens_total"
    ]
    read = sum(value for _, billed, value in samples if billed == "read")
    assert read == sum(u.cached_tokens for u in usages)
    assert sum(value for *_, value in samples) == sum(u.prompt_tokens for u in usages)
    assert {prefix == "other" for prefix, *_ in samples} == {True, False}


async def test_a_prompt_under_the_minimum_has_no_breakpoint_and_it_is_said() -> None:
    async with stack(model="claude-haiku-4-5", minimum=4_096) as at:
        to = call()
        usage = await at.ask(to=to)
    assert (usage.cached_tokens, usage.cache_write_tokens) == (0, 0)
    assert "cache_control" not in at.spy.seen[0].model_dump_json()
    decision, reason = notes(to)[0]
    assert decision == "no breakpoint"
    assert reason.endswith("tokens are fewer than the 4,096 that claude-opus-5-5 stores")
    assert notes(to)[1][0] == "too_short"


async def test_a_client_s_own_plan_stands() -> None:
    part = {"type": "text", "text": "And why?", "prompt_cache_breakpoint": {"mode": "explicit"}}
    request = chat(system(rules()), {"role": "user", "content": [part]})
    async with stack() as at:
        to = call()
        first = await at.ask(request, to)
        again = await at.ask(request)
    assert at.spy.seen[0] == request
    assert notes(to)[0] == (
        "breakpoints: messages[1].content[0] (5m)",
        "the client's own breakpoints stand",
    )
    assert first.cache_write_tokens == first.prompt_tokens == again.cached_tokens


async def test_an_expired_prefix_is_said_to_be() -> None:
    async with stack() as at:
        await at.ask()
        await at.clock.advance(299)
        assert (await at.ask()).cached_tokens > 0
        await at.clock.advance(300)
        to = call()
        assert (await at.ask(to=to)).cached_tokens == 0
    assert notes(to)[1][0] == "expired"


async def test_a_conversation_reads_what_it_has_said() -> None:
    async with stack(EndOfSystem(history=True)) as at:
        talk: list[dict[str, Any]] = list(QUESTION)
        for i in range(4):
            await at.ask(chat(*talk))
            reply = {"role": "assistant", "content": f"It depends on rule {i}. " * 30}
            talk += [reply, {"role": "user", "content": f"And in case {i}?"}]
    for before, after in zip(at.usages, at.usages[1:], strict=False):
        assert after.cached_tokens == before.prompt_tokens
        assert after.cache_write_tokens == after.prompt_tokens - before.prompt_tokens


async def test_a_volatile_line_is_moved_and_the_rest_is_read() -> None:
    async with stack(move_volatile=True) as at:
        for i in range(8):
            to = call()
            text = f"You help.\nIt is 10:0{i}:15 now.\n{rules()}"
            await at.ask(chat(system(text), f"Question {i}?"), to)
            await at.clock.advance(10)
    assert [u.cached_tokens > 0 for u in at.usages] == [False] * 5 + [True] * 3
    assert [decision for decision, _ in notes(to)] == [
        "timestamp",
        "breakpoints: system[0] (5m)",
        "hit",
    ]
    assert "moved to the end of the system prompt" in notes(to)[0][1]
    assert at.count("invalidators_total", tier="opus", kind="timestamp") == 4
    assert at.count("lost_usd_total", tier="opus", kind="timestamp") == 0


async def test_a_volatile_line_that_stays_is_reported_with_what_it_costs() -> None:
    with structlog.testing.capture_logs() as logs:
        async with stack() as at:
            for i in range(8):
                to = call()
                text = f"{rules()}\nIt is 10:0{i}:15 now."
                usage = await at.ask(chat(system(text), f"Question {i}?"), to)
                await at.clock.advance(10)
    assert usage.cached_tokens == 0
    kind, reason = notes(to)[0]
    assert kind == "timestamp"
    assert reason.startswith(f"system[0], character {len(rules()) + 7:,} (8 long): changed in 7 of")
    assert "a call, $" in reason
    (event,) = [line for line in logs if line["event"] == "prompt_cache_invalidator"]
    assert event["offset"] == len(rules()) + 7
    assert event["lost_usd_per_day"] > 1
    assert at.count("lost_usd_total", tier="opus", kind="timestamp") > 0
    told = str(logs) + str(to.trace.decisions)
    assert "customers of a bank" not in told
    assert "10:0" not in told
    assert notes(to)[-1][0] == "changed"
    assert f"system[0], character {len(rules()) + 11:,}" in notes(to)[-1][1]


async def test_a_fall_of_the_hit_rate_raises_an_alert() -> None:
    with structlog.testing.capture_logs() as logs:
        async with stack(alert_window=10) as at:
            for i in range(40):
                text = rules() if i < 30 else f"{i} {rules()}"
                await at.ask(chat(system(text), f"Question {i}?"))
    (event,) = [line for line in logs if line["event"] == "prompt_cache_hit_rate_fell"]
    assert event["log_level"] == "warning"
    assert event["now"] == 0
    assert event["before"] > 0.8
    assert at.count("alerts_total", tier="opus", feature="support") == 1


async def test_after_an_unexplained_miss_the_api_is_asked() -> None:
    def asked(at: Stack) -> list[Any]:
        return [(r.model_extra or {}).get("diagnostics") for r in at.spy.seen]

    async with stack(planner_clock=Seconds(), diagnose=True) as at:
        await at.ask()
        await at.clock.advance(301)  # the API forgets sooner than it says
        to = call()
        await at.ask(to=to)
        assert notes(to)[-1][0] == "evicted"
        await at.ask()
        third = await at.planned.complete(chat(*QUESTION), call())
        await at.ask()
    first = at.spy.seen[3].model_extra
    assert first is not None
    opened = first["diagnostics"]["previous_message_id"]
    assert asked(at) == [
        None,
        None,
        {"previous_message_id": None},
        {"previous_message_id": opened},
        {"previous_message_id": third.id},
    ]
    assert opened.startswith("msg_")


class Broken(EndOfSystem):
    def plan(self, chain: Any, now: float, *, scope: str = "") -> Any:
        raise ValueError("You help the customers of a bank")


async def test_a_planner_that_fails_fails_no_call() -> None:
    with structlog.testing.capture_logs() as logs:
        async with stack(Broken()) as at:
            to = call()
            assert (await at.ask(to=to)).cache_write_tokens == 0
    assert at.spy.seen == [chat(*QUESTION)]
    assert notes(to) == [("not planned", "the planner failed (ValueError)")]
    assert at.count("errors_total", tier="opus") == 1
    assert "customers" not in str(logs)


async def test_a_request_that_claude_cannot_take_is_refused_by_name_not_by_the_planner() -> None:
    async with stack() as at:
        result = {"role": "tool", "tool_call_id": "none", "content": "?"}
        with pytest.raises(Exception, match="tool_call_id 'none' answers no tool call"):
            await at.ask(chat(system(rules()), result))
    assert at.count("errors_total", tier="opus") == 0


async def test_an_answer_that_breaks_off_is_not_taken_for_a_call_that_cost_nothing() -> None:
    async with stack(backend=BreaksOff()) as at:
        with pytest.raises(TierProtocolError, match="broke off"):
            await at.ask()
    assert at.spy.streamed == 1


class BreaksOff(Scripted):
    """Says it is overloaded once it has begun."""

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[Chunk, None]:
        yield Chunk("cmpl", 0, "scripted", role="assistant", content="")
        yield Chunk("cmpl", 0, "scripted", content="Well, ")
        raise TierUnavailable("overloaded")
