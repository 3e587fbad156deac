"""Requests that would rather wait than pay."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from router.cascade import next_step
from router.plan import Patience, Plan
from router.planner import patience_of
from router.steps import Answered, BestEffort, CallTier, Fail, Failed, Outcome, State, Step
from serving.backend import Call
from serving.settings.tasks import TaskSettings
from tests.router.test_cascade import plan
from tests.router.test_cascade_properties import calls, plans, walk

STAYS, CLIMBS = plan(patience="stay"), plan(patience="climb")
FULL = Failed("small", "rate_limited", "no turn in time", retry_after=4.0)
UNSURE = Answered("small", gate_accepts=False, detail="unsure")


def after(*outcomes: Outcome, now: float = 1.0, stays: bool = True) -> Step:
    return next_step(State(STAYS if stays else CLIMBS, now, outcomes))


def test_who_waits_has_more_than_the_tiers_own_time() -> None:
    first = after()
    assert isinstance(first, CallTier)
    assert first.timeout_s == 99.0
    climbing = after(stays=False)
    assert isinstance(climbing, CallTier)
    assert climbing.timeout_s == 89.0  # ten seconds are left for the tier above


def test_load_is_no_reason_to_climb() -> None:
    assert after(FULL) == Fail("rate_limited", "small: rate_limited", 4.0)
    kept = after(UNSURE, replace(FULL, tier="large"))
    assert isinstance(kept, BestEffort)
    assert kept.tier == "small"
    assert kept.degraded == "large: rate_limited"


def test_load_after_an_outage_is_told_as_load() -> None:
    step = after(Failed("small", "unavailable"), replace(FULL, tier="large"))
    assert isinstance(step, Fail)
    assert step.reason == "rate_limited"


def test_whatever_else_is_a_reason_to_climb_still_is() -> None:
    for outcome in (UNSURE, Failed("small", "timeout"), Failed("small", "misconfigured")):
        step = after(outcome)
        assert isinstance(step, CallTier)
        assert step.tier == "large"


def test_a_task_may_climb_all_the_same() -> None:
    step = after(FULL, stays=False)
    assert isinstance(step, CallTier)
    assert step.tier == "large"


def test_who_is_patient() -> None:
    live = Call("r", "t", 10.0)
    flex = replace(live, urgency="offline", service="flex")
    line = replace(live, urgency="offline")
    task = TaskSettings(name="t")
    assert patience_of(live, task) == "none"
    assert patience_of(flex, task) == "stay"
    assert patience_of(line, task) == "climb"
    assert patience_of(flex, TaskSettings(name="t", flex="climb")) == "climb"


@given(st.data(), plans(), st.sampled_from(["stay", "climb"]))
@settings(max_examples=300, deadline=None)
def test_it_ends_in_time_and_load_alone_never_makes_it_pay(
    data: st.DataObject, plan: Plan, patience: Patience
) -> None:
    _, steps = walk(data, replace(plan, patience=patience))
    for state, call in calls(steps):
        assert state.now + call.wait_s + call.timeout_s <= plan.deadline + 1e-9
        full = isinstance(state.last, Failed) and state.last.fault == "rate_limited"
        assert not (full and patience == "stay")
