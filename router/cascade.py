"""The cascade as a pure step machine: from all that has happened to what comes next.

No I/O and no clock. `next_step(state)` says what to do; the driver does it and appends what became
of it with `State.after`. Since a step follows from the state alone, a request that was parked goes
on from stored outcomes. `docs/cascade.md` draws it.

It always ends: each tier is called once, once more per allowed retry, and once more at most when
its stream had been cut short and every tier above turned out to be down.
"""

from router.plan import PlannedTier
from router.steps import (
    Aborted,
    Accept,
    Answered,
    BestEffort,
    CallTier,
    Fail,
    Failed,
    Outcome,
    State,
    Step,
)

MIN_CALL_S = 0.05
"""No call starts with less time left: it could only be paid for and thrown away."""

SAYS_NOTHING = frozenset({"not_empty", "no_refusal"})
"""Validators whose failure means that there is no answer in the answer."""

BACKOFF_S = 0.1
"""The wait before the first retry; it doubles with each."""

MAX_WAIT_S = 2.0
"""A tier that asks for a longer wait is not retried: climbing is quicker."""


def next_step(state: State) -> Step:
    """What to do next, and why. `state.now` must be the present."""
    last = state.last
    if isinstance(last, Answered):
        if (done := _finished(state, last)) is not None:
            return done
    elif isinstance(last, Failed) and last.committed:
        return Fail("broke_off", f"{last.tier} broke off after part of its answer: {last.fault}")
    elif _would_rather_wait(state, last):
        return _give_up(state, out_of_time=False)
    step = _retry(state, last) or _climb(state, last) or _last_resort(state)
    if step is None:
        return _give_up(state, out_of_time=False)
    if state.remaining - step.wait_s < MIN_CALL_S:
        return _give_up(state, out_of_time=True)
    return step


def _would_rather_wait(state: State, last: Outcome | None) -> bool:
    """It waited as long as it could, and load is no reason to pay for a better tier."""
    full = isinstance(last, Failed) and last.fault == "rate_limited"
    return full and state.plan.patience == "stay"


def _finished(state: State, answer: Answered) -> Step | None:
    """The end where the answer passes, or where nothing can replace it any more."""
    degraded = _degraded(state, answer.tier)
    if state.plan.measure_only:
        return Accept(answer.tier, "observed", answer.detail, degraded)
    cause = cause_of(state, answer)
    if cause is None:
        gated = state.plan.planned(answer.tier).gate is not None
        return Accept(answer.tier, "passed" if gated else "passed_ungated", answer.detail, degraded)
    if answer.committed:
        reason = f"failed_after_commit:{cause}"
        return BestEffort(answer.tier, reason, f"failed after commit: {answer.detail}", degraded)
    return None


def cause_of(state: State, answer: Answered) -> str | None:
    """Why the answer cannot be accepted; the gate counts only where the plan has one."""
    if not answer.failed_checks and state.plan.planned(answer.tier).gate is None:
        return None
    return answer.cause


def _retry(state: State, last: Outcome | None) -> CallTier | None:
    """The same tier again, after a transport fault only."""
    if not isinstance(last, Failed) or not last.retryable:
        return None
    planned = state.plan.planned(last.tier)
    failures = sum(isinstance(o, Failed) and o.tier == last.tier for o in state.outcomes)
    wait = max(last.retry_after or 0.0, BACKOFF_S * 2 ** (failures - 1))
    if failures > planned.retries or wait > MAX_WAIT_S or state.remaining - wait < MIN_CALL_S:
        return None
    detail = f"retry {failures} of {planned.retries} after: {last.detail or last.fault}"
    return _call(state, planned, f"retry:{last.fault}", detail, wait_s=wait)


def _climb(state: State, last: Outcome | None) -> CallTier | None:
    """The next tier above all that were asked; None at the end of the climb."""
    climb = state.plan.climb
    if last is None:
        return _call(state, climb[0], "start", state.plan.reason)
    asked = {o.tier for o in state.outcomes}
    above = max((i for i, t in enumerate(climb) if t.tier in asked), default=-1) + 1
    if above == len(climb):
        return None
    return _call(state, climb[above], _why(state, last), f"{last.tier}: {last.detail}")


def _last_resort(state: State) -> CallTier | None:
    """With no answer in hand and the climb at its end: a tier whose stream was cut short, else one
    below the start tier, most able first. Nothing lower stands in where all that went wrong is
    that the request itself was refused.
    """
    if state.answers:
        return None
    for planned in reversed(state.plan.climb):
        of_tier = [o for o in state.outcomes if o.tier == planned.tier]
        cuts = sum(isinstance(o, Aborted) for o in of_tier)
        if cuts == 1 and isinstance(of_tier[-1], Aborted):
            return _call(state, planned, "last_resort:cut_short", _down(state))
    if all(isinstance(o, Failed) and o.fault == "rejected" for o in state.outcomes):
        return None
    asked = {o.tier for o in state.outcomes}
    for planned in state.plan.fallbacks:
        if planned.tier not in asked:
            return _call(state, planned, "last_resort:below_start", _down(state))
    return None


def _call(
    state: State, planned: PlannedTier, reason: str, detail: str, *, wait_s: float = 0.0
) -> CallTier:
    timeout = min(_time_for(state, planned), state.remaining - wait_s)
    top = state.plan.climb[-1].tier
    can_climb = any(t.tier == planned.tier for t in state.plan.climb[:-1])
    final = not can_climb or any(o.tier == top for o in state.outcomes)
    return CallTier(planned.tier, reason, detail, timeout, wait_s, final)


def _time_for(state: State, planned: PlannedTier) -> float:
    """Who waits for its turn has longer than the tier's own deadline, which holds from then."""
    plan = state.plan
    if plan.patience == "none":
        return planned.deadline_s
    if plan.patience == "stay":
        return state.remaining
    above = [t.deadline_s for t in plan.climb if t.rank > planned.rank]
    spare = min(above[0], state.remaining / 2) if above else 0.0
    return max(planned.deadline_s, state.remaining - spare)


def _why(state: State, last: Outcome) -> str:
    """The reason of a step to another tier."""
    if isinstance(last, Failed):
        return f"failover:{last.fault}"
    cause = last.cause if isinstance(last, Aborted) else cause_of(state, last)
    return f"escalate:{cause}"


def _give_up(state: State, *, out_of_time: bool) -> Step:
    """The best answer in hand, marked; an error where there is none."""
    if not state.answers:
        return _fail(state, out_of_time=out_of_time)
    best = max(state.answers, key=lambda answer: _rank(state, answer))
    degraded = _degraded(state, best.tier)
    short = "tiers_above_failed" if degraded else "no_tier_passed"
    reason = "deadline" if out_of_time else short
    return BestEffort(best.tier, reason, f"{cause_of(state, best)}: {best.detail}", degraded)


def _rank(state: State, answer: Answered) -> tuple[bool, bool, int, int]:
    """Orders answers that were not accepted, best last: first those that only the gate rejected;
    then those that say anything (neither empty nor a refusal); then by fewer failed checks; then
    by the more able tier.
    """
    says_nothing = not SAYS_NOTHING.isdisjoint(answer.failed_checks)
    rank = state.plan.planned(answer.tier).rank
    return (not answer.failed_checks, not says_nothing, -len(answer.failed_checks), rank)


def _fail(state: State, *, out_of_time: bool) -> Fail:
    failures = _final_failures(state)
    detail = _down(state) or "no time to ask a tier"
    if out_of_time:
        return Fail("deadline", detail)
    faults = {f.fault for f in failures} - {"rejected"}
    if failures and not faults:
        return Fail("rejected", failures[-1].detail)
    if faults == {"timeout"} or ("timeout" in faults and state.remaining < MIN_CALL_S):
        return Fail("deadline", detail)
    if faults == {"rate_limited"} or _would_rather_wait(state, state.last):
        waits = [f.retry_after for f in failures if f.retry_after is not None]
        return Fail("rate_limited", detail, min(waits, default=None))
    return Fail("no_tier", detail)


def _final_failures(state: State) -> list[Failed]:
    """The last outcome of each tier that ended in a failure, in the order of asking."""
    final = {o.tier: o for o in state.outcomes}
    return [o for o in final.values() if isinstance(o, Failed)]


def _down(state: State) -> str:
    return ", ".join(f"{f.tier}: {f.fault}" for f in _final_failures(state))


def _degraded(state: State, tier: str) -> str | None:
    """The more able tiers that were asked and down, None where none was. A tier that refused the
    request was not down.
    """
    rank = state.plan.planned(tier).rank
    down = [
        f"{f.tier}: {f.fault}"
        for f in _final_failures(state)
        if f.fault != "rejected" and state.plan.planned(f.tier).rank > rank
    ]
    return ", ".join(down) or None
