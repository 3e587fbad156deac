"""Streams: what flows when, and what is held back."""

import asyncio
from contextlib import aclosing

from router.live import CascadeBackend
from router.route import Accepted
from serving.backend import Ability, Call
from serving.errors import (
    TierMisconfigured,
)
from serving.wire.completion import ToolCallPart
from tests.router.fakes import (
    GATE,
    LONG,
    UNSURE,
    Ladder,
    Reply,
    make_call,
    make_request,
    make_task,
    one_task,
    read,
    stream,
    text_of,
    two_tiers,
    verdicts,
)

WANTS_FINE = make_task(validators=[{"kind": "words", "required": ["fine"]}])
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def modes(call: Call) -> list[str]:
    return [d.decision for d in call.trace.decisions if d.stage == "stream"]


async def test_a_sure_stream_commits_on_its_prefix_and_flows() -> None:
    call = make_call()
    ladder = two_tiers(Reply(LONG))
    async with aclosing(stream(ladder, call)) as chunks:
        first = await anext(chunks)
        assert first.role == "assistant"
        assert call.trace.attempts[0].outcome == "open", "it flows before its end is known"
        rest = [chunk async for chunk in chunks]
    assert text_of(rest) == LONG
    assert modes(call) == ["prefix", "commit"]
    assert verdicts(call) == [("small", "accepted", "passed")]


async def test_the_usage_chunk_comes_last_and_once_when_all_is_judged() -> None:
    call = make_call()
    chunks = []
    async for chunk in stream(two_tiers(Reply(LONG, UNSURE), Reply("fine")), call):
        if chunk.usage is not None:
            assert all(a.outcome != "open" for a in call.trace.attempts)
            assert call.trace.tier == "large"
        chunks.append(chunk)
    assert [c.usage is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 1, "of the answer that was returned"


async def test_an_unsure_stream_is_aborted_early_and_the_next_tier_asked() -> None:
    call = make_call()
    ladder = two_tiers(Reply(LONG, UNSURE), Reply("fine"))
    chunks = await read(stream(ladder, call))
    assert text_of(chunks) == "fine", "nothing of the aborted answer goes out"
    assert {c.id for c in chunks} == {"id-large"}
    assert ladder.tiers["small"].closed == 1, "its generation stopped"
    assert verdicts(call)[0] == ("small", "escalated", "gate_prefix")
    assert modes(call) == ["prefix", "abort", "flow", "commit"]


async def test_a_refusal_is_seen_in_its_opening_words() -> None:
    call = make_call()
    refusal = "I'm sorry, but I can't help with that request. " + LONG
    chunks = await read(stream(two_tiers(Reply(refusal), Reply("fine")), call))
    assert text_of(chunks) == "fine"
    assert verdicts(call)[0] == ("small", "escalated", "validator:no_refusal")


async def test_a_short_answer_is_judged_as_a_whole() -> None:
    call = make_call()
    chunks = await read(stream(two_tiers(Reply("no", UNSURE), Reply("fine")), call))
    assert text_of(chunks) == "fine"
    assert verdicts(call)[0] == ("small", "escalated", "gate")
    call = make_call()
    assert text_of(await read(stream(two_tiers(Reply("yes")), call))) == "yes"
    assert verdicts(call) == [("small", "accepted", "passed")]


async def test_checks_of_the_whole_answer_hold_the_stream_until_it_passes() -> None:
    call = make_call()
    ladder = two_tiers(Reply('{"a": 1'), Reply('{"a": 1}'))
    ladder.rungs.append(Ladder().add("top").rungs[0])
    request = make_request(stream=True, response_format={"type": "json_object"})
    chunks = await read(stream(ladder, call, request=request))
    assert text_of(chunks) == '{"a": 1}'
    assert modes(call) == ["hold", "hold"]
    assert verdicts(call) == [
        ("small", "escalated", "validator:json"),
        ("large", "accepted", "passed_ungated"),
    ]
    finishes = [c.finish_reason for c in chunks if c.finish_reason]
    assert finishes == ["stop"]


async def test_tool_calls_are_held_until_their_arguments_pass() -> None:
    call = make_call()
    broken = (ToolCallPart(0, "c1", "look_up", '{"x": '),)
    right = (ToolCallPart(0, "c2", "look_up", '{"x": 1}'),)
    small = Reply("", tool_calls=broken, finish="tool_calls")
    ladder = two_tiers(small, Reply("", tool_calls=right, finish="tool_calls"))
    chunks = await read(stream(ladder, call, request=make_request(stream=True, tools=[TOOL])))
    assert [p.id for c in chunks for p in c.tool_calls] == ["c2"]
    assert verdicts(call)[0] == ("small", "escalated", "validator:tool_arguments")


async def test_the_last_tier_flows_as_it_comes() -> None:
    call = make_call()
    ladder = Ladder().add("only", Reply(LONG, hang=True, error_after=2))
    request = make_request(stream=True, response_format={"type": "json_object"})
    async with aclosing(stream(ladder, call, request=request)) as chunks:
        got = [await anext(chunks), await anext(chunks), await anext(chunks)]
    assert text_of(got) == "number1 number2"
    await asyncio.sleep(0)
    assert ladder.tiers["only"].closed == 1


async def test_an_ungated_task_is_held_for_its_opening_words_only() -> None:
    call = make_call()
    await read(stream(two_tiers(Reply(LONG, UNSURE)), call, make_task(gate="off")))
    assert modes(call) == ["prefix", "commit"]
    assert call.trace.tier == "small"


async def test_a_refusal_is_climbed_over_in_an_ungated_task_too() -> None:
    call = make_call()
    ladder = two_tiers(Reply("I'm sorry, but I can't help with that request."), Reply(LONG))
    assert text_of(await read(stream(ladder, call, make_task(gate="off")))) == LONG
    assert verdicts(call)[0] == ("small", "escalated", "validator:no_refusal")


async def test_a_tier_without_logprobs_is_held_for_its_opening_words_only() -> None:
    call = make_call()
    ladder = Ladder().add("mute", Reply(LONG), gate=GATE, ability=Ability()).add("top")
    assert text_of(await read(stream(ladder, call))) == LONG
    assert modes(call) == ["prefix", "commit"]
    assert verdicts(call) == [("mute", "accepted", "passed_ungated")]


async def test_a_stream_that_commits_and_then_fails_a_check_is_marked() -> None:
    call = make_call()
    ladder = Ladder().add("only", Reply("not what was wanted"))
    chunks = await read(stream(ladder, call, WANTS_FINE))
    assert text_of(chunks) == "not what was wanted"
    assert call.trace.best_effort is not None
    assert "failed after commit" in call.trace.best_effort
    assert verdicts(call) == [("only", "best_effort", "failed_after_commit:validator:words")]


async def test_a_stream_that_becomes_unsure_after_its_commitment_is_marked() -> None:
    call = make_call()
    lenient = GATE.model_copy(update={"min_mean": -0.01, "prefix_max_tokens": 64})
    ladder = Ladder().add("small", Reply(LONG), gate=lenient).add("large")
    assert text_of(await read(stream(ladder, call))) == LONG
    assert verdicts(call) == [("small", "best_effort", "failed_after_commit:gate")]


async def test_an_empty_answer_of_the_last_tier_does_not_replace_a_better_one() -> None:
    call = make_call()
    chunks = await read(stream(two_tiers(Reply("fine", UNSURE), Reply("")), call))
    assert text_of(chunks) == "fine"
    assert call.trace.tier == "small"
    assert verdicts(call) == [
        ("small", "best_effort", "no_tier_passed"),
        ("large", "escalated", "validator:not_empty"),
    ]


async def test_an_aborted_tier_is_asked_again_when_all_above_is_down() -> None:
    call = make_call()
    ladder = Ladder().add("small", Reply(LONG, UNSURE), Reply(LONG, UNSURE), gate=GATE)
    ladder.add("large", Reply(error=TierMisconfigured("no key")))
    assert text_of(await read(stream(ladder, call))) == LONG
    assert call.trace.degraded == "large: misconfigured"
    assert [v[1] for v in verdicts(call)] == ["escalated", "failed", "best_effort"]


async def test_one_response_has_one_id() -> None:
    chunks = await read(stream(two_tiers(Reply(LONG, ids="changing")), make_call()))
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1


async def test_logprobs_reach_only_a_client_that_asked() -> None:
    chunks = await read(stream(two_tiers(Reply(LONG)), make_call()))
    assert all(c.logprobs is None for c in chunks)
    asked = make_request(stream=True, logprobs=True)
    chunks = await read(stream(two_tiers(Reply(LONG)), make_call(), request=asked))
    assert sum(len(c.logprobs or ()) for c in chunks) == len(LONG.split())


async def test_an_accepted_stream_is_passed_on_for_checking() -> None:
    heard: list[Accepted] = []
    ladder = two_tiers(Reply(LONG))
    backend = CascadeBackend(ladder.rungs, tasks=one_task(make_task()), on_accepted=heard.append)
    await read(backend.stream(make_request(stream=True), make_call()))
    assert [a.completion.first.content for a in heard] == [LONG + " "]
