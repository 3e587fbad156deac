"""`mode: observe`: everything to the baseline, nothing blocked, everything told."""

import pytest

from router.observe import Observe
from serving.backend import Call
from serving.errors import DeadlineExceeded, TierTimeout, TierUnavailable
from tests.router.fakes import (
    GATE,
    LONG,
    Ladder,
    Reply,
    make_call,
    make_request,
    make_task,
    one_task,
    read,
    text_of,
    verdicts,
)

DIGITS = make_task(validators=[{"kind": "regex", "pattern": "[0-9]"}])


def observing(*replies: Reply) -> tuple[Observe, Ladder]:
    ladder = Ladder().add("small", gate=GATE, price=0.1).add("baseline", *replies, price=10)
    backend = Observe(ladder.rungs, baseline="baseline", tasks=one_task(DIGITS))
    return backend, ladder


def told(call: Call, stage: str) -> list[tuple[str, str]]:
    return [(d.decision, d.reason) for d in call.trace.decisions if d.stage == stage]


async def test_the_baseline_answers_and_the_cascades_choice_is_noted() -> None:
    backend, ladder = observing(Reply("42"))
    call = make_call()
    answer = await backend.complete(make_request(), call)
    assert answer.first.content == "42"
    assert ladder.tiers["small"].calls == []
    [(tier, reason)] = told(call, "plan")
    assert tier == "baseline"
    assert reason.startswith("observe: the cascade would start at small: cheapest")
    assert verdicts(call) == [("baseline", "accepted", "observed")]


async def test_an_answer_that_fails_its_checks_is_measured_and_given() -> None:
    for streamed in (False, True):
        backend, _ = observing(Reply("no digit"))
        call = make_call()
        if streamed:
            text = text_of(await read(backend.stream(make_request(stream=True), call)))
        else:
            text = (await backend.complete(make_request(), call)).first.content or ""
        assert text == "no digit"
        assert call.trace.best_effort is None
        [(result, reason)] = told(call, "validators")
        assert result == "failed"
        assert "regex" in reason


async def test_streams_are_never_held() -> None:
    backend, _ = observing(Reply(LONG))
    call = make_call()
    request = make_request(stream=True, response_format={"type": "json_object"})
    chunks = backend.stream(request, call)
    await anext(chunks)
    assert call.trace.attempts[0].outcome == "open"
    await chunks.aclose()


async def test_what_the_cascade_would_refuse_is_passed_on() -> None:
    backend, _ = observing(Reply("1"), Reply("2"))
    call = make_call()
    await backend.complete(make_request(model="some-model"), call)
    assert "would refuse: The model 'some-model' does not exist" in told(call, "plan")[0][1]
    call = make_call(max_tier="small")
    await backend.complete(make_request(model="small"), call)
    assert call.trace.tier == "baseline"


async def test_faults_of_the_baseline_are_retried_and_then_named() -> None:
    backend, _ = observing(Reply(error=TierUnavailable("refused")), Reply("1"))
    call = make_call()
    assert (await backend.complete(make_request(), call)).first.content == "1"
    backend, _ = observing(Reply(error=TierTimeout("late")))
    with pytest.raises(DeadlineExceeded):
        await backend.complete(make_request(), make_call())
