"""The step machine, rule by rule."""

from collections.abc import Sequence
from dataclasses import replace

from router.cascade import BACKOFF_S, MIN_CALL_S, next_step
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

GATE = GateSettings()


def planned(tier: str, rank: int, *, gated: bool = True, retries: int = 1) -> PlannedTier:
    return PlannedTier(tier, rank, 10.0, retries, GATE if gated else None, "")


def plan(tiers: Sequence[str] = ("small", "large", "top"), **fields: object) -> Plan:
    """A climb whose last tier is not gated; lower ranks are left free for fallbacks."""
    last = len(tiers) - 1
    climb = tuple(planned(name, 10 + i, gated=i < last) for i, name in enumerate(tiers))
    return replace(Plan(climb, "cheapest", deadline=100.0), **fields)  # type: ignore[arg-type]


def after(*outcomes: Outcome, now: float = 1.0, of: Plan | None = None) -> Step:
    return next_step(State(of or plan(), now, outcomes))


def down(tier: str, fault: Fault = "timeout") -> Failed:
    return Failed(tier, fault)


REJECTED = Answered("small", gate_accepts=False, detail="unsure")
BROKEN = Answered("small", ("json",), detail="no JSON")


def test_starts_at_the_start_tier() -> None:
    step = after()
    assert step == CallTier("small", "start", "cheapest", timeout_s=10.0)


def test_accepts_what_passes() -> None:
    assert after(Answered("small")) == Accept("small", "passed")


def test_climbs_when_the_gate_or_a_validator_says_no() -> None:
    gate, validator = after(REJECTED), after(BROKEN)
    assert isinstance(gate, CallTier)
    assert (gate.tier, gate.reason, gate.detail) == ("large", "escalate:gate", "small: unsure")
    assert isinstance(validator, CallTier)
    assert (validator.tier, validator.reason) == ("large", "escalate:validator:json")


def test_the_last_tier_is_not_gated_but_validated() -> None:
    climbed = (REJECTED, replace(REJECTED, tier="large"))
    top = Answered("top", gate_accepts=False)
    assert after(*climbed, top) == Accept("top", "passed_ungated")
    step = after(*climbed, replace(top, failed_checks=("json",)))
    assert isinstance(step, BestEffort)


def test_only_the_last_tier_of_the_climb_is_final() -> None:
    finals = [after(), after(REJECTED), after(REJECTED, replace(REJECTED, tier="large"))]
    assert [s.final for s in finals if isinstance(s, CallTier)] == [False, False, True]


def test_a_transport_fault_is_retried_with_growing_waits_then_fails_over() -> None:
    fault = Failed("small", "unavailable", "refused", retryable=True)
    patient = plan(fallbacks=(planned("tiny", 0),))
    patient = replace(patient, climb=(planned("small", 10, retries=2), *patient.climb[1:]))
    once, twice, thrice = (after(*[fault] * n, of=patient) for n in (1, 2, 3))
    assert isinstance(once, CallTier)
    assert (once.tier, once.reason, once.wait_s) == ("small", "retry:unavailable", BACKOFF_S)
    assert isinstance(twice, CallTier)
    assert (twice.tier, twice.wait_s) == ("small", 2 * BACKOFF_S)
    assert isinstance(thrice, CallTier)
    assert (thrice.tier, thrice.reason) == ("large", "failover:unavailable")


def test_a_tier_that_asks_for_a_long_wait_is_not_retried() -> None:
    short = after(Failed("small", "unavailable", retryable=True, retry_after=1.5))
    long = after(Failed("small", "unavailable", retryable=True, retry_after=30.0))
    assert isinstance(short, CallTier)
    assert (short.tier, short.wait_s) == ("small", 1.5)
    assert isinstance(long, CallTier)
    assert long.tier == "large"


def test_what_no_retry_can_help_is_not_retried() -> None:
    for fault in ("timeout", "rejected", "misconfigured", "rate_limited"):
        step = after(Failed("small", fault))
        assert isinstance(step, CallTier)
        assert (step.tier, step.reason) == ("large", f"failover:{fault}")


def test_each_attempt_has_the_tiers_time_or_what_is_left() -> None:
    step = after(REJECTED, now=95.0)
    assert isinstance(step, CallTier)
    assert step.timeout_s == 5.0


def test_no_call_starts_too_late() -> None:
    late = 100.0 - MIN_CALL_S / 2
    with_answer = after(REJECTED, now=late)
    assert isinstance(with_answer, BestEffort)
    assert (with_answer.tier, with_answer.reason) == ("small", "deadline")
    without = after(now=late)
    assert isinstance(without, Fail)
    assert without.reason == "deadline"


def test_best_effort_prefers_an_answer_that_only_the_gate_rejected() -> None:
    answers = (REJECTED, Answered("large", ("json",)), Answered("top", ("json",)))
    step = after(*answers)
    assert isinstance(step, BestEffort)
    assert (step.tier, step.reason) == ("small", "no_tier_passed")
    assert "unsure" in step.detail


def test_best_effort_prefers_fewer_failures_then_the_more_able_tier() -> None:
    worst, equal = Answered("small", ("json", "length")), Answered("large", ("json",))
    step = after(worst, equal, Answered("top", ("length",)))
    assert isinstance(step, BestEffort)
    assert step.tier == "top"
    refusal = Answered("top", ("no_refusal",))
    step = after(worst, Answered("large", ("json", "length")), refusal)
    assert isinstance(step, BestEffort)
    assert step.tier == "large", "a refusal is no answer, however few checks it fails"


def test_an_answer_in_hand_is_returned_degraded_when_the_tiers_above_are_down() -> None:
    step = after(REJECTED, down("large"), down("top", "unavailable"))
    assert isinstance(step, BestEffort)
    assert (step.tier, step.reason) == ("small", "tiers_above_failed")
    assert step.degraded == "large: timeout, top: unavailable"


def test_a_lower_tier_that_was_down_degrades_nothing() -> None:
    assert after(down("small"), Answered("large")) == Accept("large", "passed")


def test_tiers_below_the_start_stand_in_when_the_climb_is_down() -> None:
    low = plan(("large", "top"), fallbacks=(planned("small", 1, gated=False),))
    outage = (down("large"), down("top", "unavailable"))
    step = after(*outage, of=low)
    assert isinstance(step, CallTier)
    assert (step.tier, step.reason, step.final) == ("small", "last_resort:below_start", True)
    done = after(*outage, Answered("small"), of=low)
    assert done == Accept("small", "passed_ungated", "", "large: timeout, top: unavailable")


def test_tiers_below_the_start_do_not_stand_in_for_a_bad_request() -> None:
    low = plan(("large", "top"), fallbacks=(planned("small", 1),))
    refused = (Failed("large", "rejected", "no"), Failed("top", "rejected", "bad schema"))
    assert after(*refused, of=low) == Fail("rejected", "bad schema")


def test_a_stream_cut_short_is_asked_again_when_all_above_is_down() -> None:
    cut = Aborted("small", "gate_prefix", "unsure")
    step = after(cut)
    assert isinstance(step, CallTier)
    assert (step.tier, step.reason) == ("large", "escalate:gate_prefix")
    outage = (cut, down("large"), down("top"))
    step = after(*outage)
    assert isinstance(step, CallTier)
    assert (step.tier, step.reason, step.final) == ("small", "last_resort:cut_short", True)
    done = after(*outage, replace(REJECTED, committed=True))
    assert isinstance(done, BestEffort)
    assert done.degraded == "large: timeout, top: timeout"


def test_what_has_gone_out_is_final() -> None:
    step = after(replace(BROKEN, committed=True))
    assert isinstance(step, BestEffort)
    assert step.reason == "failed_after_commit:validator:json"
    assert step.detail == "failed after commit: no JSON"
    broke = after(Failed("small", "unavailable", retryable=True, committed=True))
    assert isinstance(broke, Fail)
    assert broke.reason == "broke_off"


def test_measuring_accepts_whatever_comes() -> None:
    assert after(BROKEN, of=plan(measure_only=True)) == Accept("small", "observed", "no JSON")


def test_the_failure_says_what_went_wrong() -> None:
    def end(*faults: Fault, retry_after: float | None = None) -> Fail:
        names = ("small", "large", "top")
        outcomes = [
            Failed(n, f, "why", retry_after=retry_after) for n, f in zip(names, faults, strict=True)
        ]
        step = after(*outcomes)
        assert isinstance(step, Fail)
        return step

    assert end("timeout", "timeout", "timeout").reason == "deadline"
    assert end("timeout", "rejected", "timeout").reason == "deadline"
    limited = end("rate_limited", "rate_limited", "rate_limited", retry_after=7.0)
    assert (limited.reason, limited.retry_after) == ("rate_limited", 7.0)
    assert end("rejected", "rejected", "rejected") == Fail("rejected", "why")
    mixed = end("misconfigured", "rate_limited", "unavailable")
    assert mixed.reason == "no_tier"
    assert mixed.detail == "small: misconfigured, large: rate_limited, top: unavailable"
