"""The live driver: what a client gets, and what the ledger hears of each attempt."""

import asyncio

import pytest

from router.live import CascadeBackend
from router.route import Accepted
from serving.backend import Ability, Call
from serving.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NoTierAnswered,
    Overloaded,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from tests.router.fakes import (
    GATE,
    SURE,
    UNSURE,
    Ladder,
    Reply,
    make_call,
    make_request,
    make_task,
    one_task,
    two_tiers,
    verdicts,
)

WANTS_FINE = make_task(validators=[{"kind": "words", "required": ["fine"]}])


def cascade(ladder: Ladder, task: TaskSettings | None = None) -> CascadeBackend:
    return CascadeBackend(ladder.rungs, tasks=one_task(task or make_task()))


async def ask(
    ladder: Ladder,
    call: Call,
    task: TaskSettings | None = None,
    request: ChatRequest | None = None,
) -> Completion:
    return await cascade(ladder, task).complete(request or make_request(), call)


async def test_a_sure_answer_of_the_cheapest_tier_is_accepted() -> None:
    call = make_call()
    answer = await ask(two_tiers(Reply("a fine answer")), call)
    assert answer.first.content == "a fine answer"
    assert (call.trace.tier, call.trace.best_effort, call.trace.degraded) == ("small", None, None)
    assert verdicts(call) == [("small", "accepted", "passed")]
    assert call.trace.escalations == 0


async def test_an_unsure_answer_climbs() -> None:
    call = make_call()
    answer = await ask(two_tiers(Reply("hm", UNSURE), Reply("it is so")), call)
    assert answer.first.content == "it is so"
    assert call.trace.tier == "large"
    assert verdicts(call) == [
        ("small", "escalated", "gate"),
        ("large", "accepted", "passed_ungated"),
    ]


async def test_an_answer_that_fails_a_validator_climbs() -> None:
    call = make_call()
    await ask(two_tiers(Reply("bad"), Reply("fine")), call, WANTS_FINE)
    assert verdicts(call)[0] == ("small", "escalated", "validator:words")


async def test_the_requests_own_validators_count() -> None:
    call = make_call()
    own = make_request(stepwell={"validators": [{"kind": "regex", "pattern": "[0-9]+"}]})
    answer = await ask(two_tiers(Reply("no number"), Reply("42")), call, request=own)
    assert answer.first.content == "42"
    assert verdicts(call)[0] == ("small", "escalated", "validator:regex")


async def test_a_bad_validator_is_refused_before_any_tier_is_asked() -> None:
    call = make_call()
    own = make_request(stepwell={"validators": [{"kind": "regex", "pattern": "("}]})
    with pytest.raises(InvalidRequest):
        await ask(two_tiers(Reply()), call, request=own)
    assert call.trace.attempts == []


async def test_the_best_of_the_failing_answers_is_returned_and_marked() -> None:
    call = make_call()
    ladder = two_tiers(Reply("fine but unsure", UNSURE), Reply("sure but wrong", SURE))
    answer = await ask(ladder, call, WANTS_FINE)
    assert answer.first.content == "fine but unsure"
    assert call.trace.tier == "small"
    assert call.trace.best_effort is not None
    assert call.trace.best_effort.startswith("no_tier_passed: gate: ")
    assert verdicts(call) == [
        ("small", "best_effort", "no_tier_passed"),
        ("large", "escalated", "validator:words"),
    ]


async def test_a_transport_fault_is_retried_on_the_same_tier() -> None:
    call = make_call()
    ladder = Ladder().add(
        "small", Reply(error=TierUnavailable("refused")), Reply("fine"), gate=GATE
    )
    answer = await ask(ladder.add("large"), call)
    assert answer.first.content == "fine"
    assert verdicts(call) == [
        ("small", "failed", "tier_unavailable"),
        ("small", "accepted", "passed"),
    ]


async def test_a_tier_past_its_deadline_is_cancelled_and_the_next_one_asked() -> None:
    call = make_call()
    ladder = Ladder().add("small", Reply(hang=True), gate=GATE, deadline_s=0.05)
    answer = await ask(ladder.add("large", Reply("fine")), call)
    await asyncio.sleep(0)
    assert answer.first.content == "fine"
    assert ladder.tiers["small"].closed == 1
    assert verdicts(call)[0] == ("small", "failed", "tier_timeout")
    assert call.trace.attempts[0].error == "tier_timeout"
    assert call.trace.degraded is None


async def test_an_answer_in_hand_is_returned_when_the_tier_above_is_down() -> None:
    call = make_call()
    ladder = two_tiers(Reply("fine", UNSURE), Reply(error=TierTimeout("late")))
    answer = await ask(ladder, call)
    assert answer.first.content == "fine"
    assert call.trace.degraded == "large: timeout"
    assert call.trace.best_effort is not None
    assert verdicts(call)[0] == ("small", "best_effort", "tiers_above_failed")


async def test_an_outage_above_degrades_to_a_tier_below_the_start() -> None:
    call = make_call()
    ladder = Ladder().add("small", Reply("fine"), gate=GATE)
    ladder.add("large", Reply(error=TierMisconfigured("no key")))
    answer = await ask(ladder, call, make_task(start="large"))
    assert answer.first.content == "fine"
    assert (call.trace.tier, call.trace.degraded) == ("small", "large: misconfigured")


async def test_a_critical_task_has_no_lower_tier_to_fall_back_on() -> None:
    ladder = two_tiers(Reply("fine"), Reply(error=TierMisconfigured("no key")))
    with pytest.raises(NoTierAnswered, match="large: misconfigured"):
        await ask(ladder, make_call(), make_task(critical=True))
    assert ladder.tiers["small"].calls == []


async def test_errors_say_what_went_wrong_and_nothing_of_the_inside() -> None:
    def both(error: Exception, other: Exception) -> Ladder:
        return two_tiers(Reply(error=error), Reply(error=other))

    rejected = TierRejected("the image is broken", param="messages")
    with pytest.raises(InvalidRequest, match="the image is broken") as refused:
        await ask(both(rejected, rejected), make_call())
    assert (refused.value.status, refused.value.param) == (400, "messages")
    assert refused.value.code == "tier_rejected"
    unsupported = InvalidRequest("unsupported: seed", param="seed")
    with pytest.raises(InvalidRequest, match="unsupported"):
        await ask(both(unsupported, unsupported), make_call())
    with pytest.raises(DeadlineExceeded):
        await ask(both(TierTimeout("late"), TierTimeout("late")), make_call())
    limited = TierRateLimited("slow down", retry_after=9.0), TierRateLimited("", retry_after=4.0)
    with pytest.raises(Overloaded) as busy:
        await ask(both(*limited), make_call())
    assert busy.value.retry_after == 4.0
    inside = TierMisconfigured("key sk-secret is wrong"), TierRateLimited("slow down")
    with pytest.raises(NoTierAnswered) as down:
        await ask(both(*inside), make_call())
    assert down.value.message == "No tier could answer (small: misconfigured, large: rate_limited)"


async def test_the_request_ends_at_its_deadline() -> None:
    call = make_call(within_s=0.1)
    ladder = Ladder().add("small", Reply("fine", UNSURE), gate=GATE).add("large", Reply(hang=True))
    answer = await ask(ladder, call)
    assert answer.first.content == "fine"
    assert call.remaining < 0.05
    call = make_call(within_s=0.01)
    with pytest.raises(DeadlineExceeded):
        await ask(two_tiers(Reply("fine")), call)
    assert call.trace.attempts == [], "too late to begin"


async def test_an_answer_without_a_choice_is_a_protocol_error() -> None:
    call = make_call()
    ladder = Ladder().add("small", Reply(choices=0), gate=GATE, retries=0).add("large", Reply("ok"))
    assert (await ask(ladder, call)).first.content == "ok"
    assert verdicts(call)[0] == ("small", "failed", TierProtocolError.code)


async def test_a_client_that_leaves_cancels_the_tier_and_leaves_nothing_open() -> None:
    call = make_call()
    ladder = two_tiers(Reply("hm", UNSURE), Reply(hang=True))
    running = asyncio.create_task(ask(ladder, call))
    await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ladder.tiers["large"].closed == 1
    assert verdicts(call) == [
        ("small", "escalated", "gate"),
        ("large", "cancelled", "client_closed"),
    ]


async def test_an_error_that_is_no_tiers_fault_surfaces_and_leaves_nothing_open() -> None:
    call = make_call()
    with pytest.raises(ZeroDivisionError):
        await ask(two_tiers(Reply(error=ZeroDivisionError())), call)
    assert verdicts(call) == [("small", "failed", "ZeroDivisionError")]


async def test_logprobs_are_asked_for_the_gate_and_kept_from_a_client_that_did_not_ask() -> None:
    ladder = two_tiers(Reply("fine"))
    answer = await ask(ladder, make_call())
    assert ladder.tiers["small"].requests[0].logprobs is True
    assert answer.first.logprobs is None
    wanted = await ask(two_tiers(Reply("fine")), make_call(), request=make_request(logprobs=True))
    assert wanted.first.logprobs is not None


async def test_logprobs_are_not_asked_where_nobody_reads_them() -> None:
    ladder = Ladder().add("only", Reply("fine"), ability=Ability(logprobs=True))
    await ask(ladder, make_call())
    assert ladder.tiers["only"].requests[0].logprobs is None


async def test_the_tasks_output_limit_reaches_the_tier_and_a_cut_answer_climbs() -> None:
    call = make_call()
    ladder = two_tiers(Reply("cut off", finish="length"), Reply("whole"))
    await ask(ladder, call, make_task(max_tokens=50))
    assert ladder.tiers["small"].requests[0].output_limit == 50
    assert verdicts(call)[0] == ("small", "escalated", "validator:not_truncated")


async def test_a_stricter_limit_of_the_client_stands_and_ends_the_answer_rightly() -> None:
    call = make_call()
    ladder = Ladder().add("small", Reply("cut off", finish="length"), gate=GATE).add("large")
    await ask(ladder, call, make_task(max_tokens=50), make_request(max_tokens=2))
    assert ladder.tiers["small"].requests[0].max_tokens == 2
    assert verdicts(call) == [("small", "accepted", "passed")]


async def test_all_choices_must_pass() -> None:
    call = make_call()
    able = Ability(logprobs=True, multiple_choices=True)
    ladder = Ladder().add("small", Reply("hm", UNSURE, choices=2), gate=GATE, ability=able)
    ladder.add("large", Reply("fine", choices=2), ability=able)
    answer = await ask(ladder, call, request=make_request(n=2))
    assert (call.trace.tier, len(answer.choices)) == ("large", 2)


async def test_the_trace_tells_every_decision() -> None:
    call = make_call(max_tier="large")
    ladder = two_tiers(Reply("hm", UNSURE), Reply("fine")).add("top")
    await ask(ladder, call)
    told = [(d.stage, d.decision) for d in call.trace.decisions]
    assert told == [
        ("plan", "small"),
        ("skip", "top"),
        ("call", "small"),
        ("validators", "passed"),
        ("gate", "reject"),
        ("call", "large"),
        ("validators", "passed"),
        ("gate", "off"),
        ("accept", "large"),
    ]
    assert all(d.reason for d in call.trace.decisions)


async def test_only_accepted_answers_are_passed_on_for_checking() -> None:
    heard: list[Accepted] = []
    ladder = (
        Ladder().add("small", Reply("fine"), Reply("bad"), gate=GATE).add("large", Reply("bad"))
    )
    backend = CascadeBackend(ladder.rungs, tasks=one_task(WANTS_FINE), on_accepted=heard.append)
    await backend.complete(make_request(), make_call(request_id="good"))
    await backend.complete(make_request(), make_call(request_id="bad"))
    assert [(a.call.request_id, a.tier) for a in heard] == [("good", "small")]
    assert heard[0].confidence == pytest.approx(SURE)
    assert heard[0].attempt is not None
