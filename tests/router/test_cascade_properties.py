"""The step machine: what holds whatever the tiers do."""

import json
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from router.cascade import MIN_CALL_S, next_step
from router.journal import Kept, KeptAnswer, dump, load
from router.plan import Plan, PlannedTier
from router.steps import (
    Aborted,
    Accept,
    Answered,
    BestEffort,
    CallTier,
    Fail,
    Failed,
    Fault,
    Outcome,
    State,
    Step,
)
from serving.settings.tiers import GateSettings
from serving.wire.completion import Completion, Usage

GATE = GateSettings()


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 5))
    start = draw(st.integers(0, count - 1))
    gates = st.sampled_from([None, GATE])
    tiers = [
        PlannedTier(
            f"t{rank}",
            rank,
            draw(st.floats(0.01, 20)),
            draw(st.integers(0, 3)),
            None if rank == count - 1 else draw(gates),
            "",
        )
        for rank in range(count)
    ]
    below = tuple(reversed(tiers[:start])) if draw(st.booleans()) else ()
    deadline = draw(st.floats(0, 60))
    return Plan(tuple(tiers[start:]), "any", deadline, fallbacks=below)


KINDS = st.sampled_from(["not_empty", "json", "no_refusal", "length"])


def outcomes_of(step: CallTier) -> st.SearchStrategy[Outcome]:
    """Whatever a driver may report of this call."""
    flags = st.booleans()
    answered = st.builds(
        Answered,
        st.just(step.tier),
        st.lists(KINDS, max_size=2, unique=True).map(tuple),
        flags,
        st.just(""),
        st.just(True) if step.final else flags,
    )
    failed = st.builds(
        Failed,
        st.just(step.tier),
        st.sampled_from(get_args(Fault)),
        retryable=flags,
        retry_after=st.none() | st.floats(0, 5),
        committed=flags,
    )
    if step.final:
        return answered | failed
    return answered | failed | st.builds(Aborted, st.just(step.tier), st.just("gate_prefix"))


def walk(data: st.DataObject, plan: Plan) -> tuple[State, list[tuple[State, Step]]]:
    """A whole run: the last state, and every state with the step that followed from it."""
    state, steps = State(plan, 0.0), []
    # Each tier once, once more per retry, and once more where its stream had been cut short.
    most = sum(2 + t.retries for t in (*plan.climb, *plan.fallbacks))
    while True:
        step = next_step(state)
        steps.append((state, step))
        if not isinstance(step, CallTier):
            return state, steps
        assert len(steps) <= most, "it does not end"
        outcome = data.draw(outcomes_of(step))
        spent = data.draw(st.floats(0, max(0.0, step.timeout_s)))
        state = state.after(outcome, state.now + step.wait_s + spent)


def calls(steps: list[tuple[State, Step]]) -> list[tuple[State, CallTier]]:
    return [(state, step) for state, step in steps if isinstance(step, CallTier)]


@given(st.data(), plans())
@settings(max_examples=300, deadline=None)
def test_it_ends_and_never_repeats_a_tier_without_a_reason(data: st.DataObject, plan: Plan) -> None:
    _, steps = walk(data, plan)
    asked: list[str] = []
    for state, call in calls(steps):
        if call.tier in asked:
            last = state.last
            if call.reason.startswith("retry:"):
                assert isinstance(last, Failed)
                assert last.retryable
                assert last.tier == call.tier
            else:
                assert call.reason == "last_resort:cut_short"
                assert any(isinstance(o, Aborted) and o.tier == call.tier for o in state.outcomes)
        asked.append(call.tier)
    for tier in {*asked}:
        retries = [c for _, c in calls(steps) if c.tier == tier and c.reason.startswith("retry:")]
        assert len(retries) <= plan.planned(tier).retries


@given(st.data(), plans())
@settings(max_examples=300, deadline=None)
def test_it_keeps_to_the_deadline_and_the_allowed_tiers(data: st.DataObject, plan: Plan) -> None:
    _, steps = walk(data, plan)
    most_able = plan.climb[-1].rank
    for state, call in calls(steps):
        assert state.now + call.wait_s + call.timeout_s <= plan.deadline + 1e-9
        assert plan.deadline - state.now - call.wait_s >= MIN_CALL_S
        assert plan.planned(call.tier).rank <= most_able
    climbed = [
        plan.planned(c.tier).rank
        for _, c in calls(steps)
        if not c.reason.startswith(("retry:", "last_resort:"))
    ]
    assert climbed == sorted(set(climbed)), "the climb goes up only"


@given(st.data(), plans())
@settings(max_examples=500, deadline=None)
def test_it_ends_with_the_right_word(data: st.DataObject, plan: Plan) -> None:
    final, steps = walk(data, plan)
    end, answers = steps[-1][1], {o.tier: o for o in final.outcomes if isinstance(o, Answered)}
    last = final.last
    if isinstance(end, Accept):
        answer = answers[end.tier]
        assert not answer.failed_checks
        assert answer.gate_accepts or plan.planned(end.tier).gate is None
    elif isinstance(end, BestEffort):
        assert end.tier in answers
        asked = {o.tier for o in final.outcomes}
        gone_out = isinstance(last, Answered) and last.committed
        untried = [t.tier for t in plan.climb if t.tier not in asked]
        assert gone_out or not untried or final.remaining < MIN_CALL_S
    else:
        assert isinstance(end, Fail)
        assert not answers or end.reason == "broke_off"


@given(st.data(), plans())
@settings(max_examples=100, deadline=None)
def test_stored_outcomes_go_on_where_they_were(data: st.DataObject, plan: Plan) -> None:
    final, steps = walk(data, plan)
    answer = KeptAnswer(Completion("c", 1, "m", (), Usage()), None, None)
    answers = {o.tier: answer for o in final.outcomes if isinstance(o, Answered)}
    kept = load(json.loads(json.dumps(dump(Kept(final.outcomes, answers)))))
    restored = State(plan, final.now, kept.outcomes)
    assert restored == final
    assert next_step(restored) == steps[-1][1]
