"""The words of the cascade: what became of an attempt (outcomes), what to do next (steps), and the
state in between. Plain values without a clock; outcomes can be stored (`router/journal.py`).

`reason` is a word of the small vocabulary in `docs/cascade.md`, fit for counting; `detail` is for
people. Times are in seconds of one clock of the driver's choice.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import Field

from router.plan import Plan

Fault = Literal[
    "rejected", "misconfigured", "rate_limited", "unavailable", "timeout", "protocol_error"
]


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer came. `failed_checks` are the kinds of the validators that it failed.
    `committed`: it has already gone out to the client, so nothing can replace it.
    """

    tier: str
    failed_checks: tuple[str, ...] = ()
    gate_accepts: bool = True
    detail: str = ""
    committed: bool = False
    kind: Literal["answered"] = "answered"

    @property
    def cause(self) -> str | None:
        """Why it cannot be accepted, None where it can."""
        if self.failed_checks:
            return f"validator:{self.failed_checks[0]}"
        return None if self.gate_accepts else "gate"


@dataclass(frozen=True, slots=True)
class Aborted:
    """A stream was judged on its prefix and closed; there is no answer to fall back on. `cause` is
    `gate_prefix` or `validator:KIND`.
    """

    tier: str
    cause: str
    detail: str = ""
    kind: Literal["aborted"] = "aborted"


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt ended without an answer. `retryable`: the same call may succeed in a moment.
    `committed`: part of the answer has already gone out.
    """

    tier: str
    fault: Fault
    detail: str = ""
    retryable: bool = False
    retry_after: float | None = None
    committed: bool = False
    kind: Literal["failed"] = "failed"


Outcome = Annotated[Answered | Aborted | Failed, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class CallTier:
    """Wait `wait_s`, then ask `tier` for `timeout_s` at most. `final`: nothing better would follow
    an answer of it, so a stream of it need not be held back.
    """

    tier: str
    reason: str
    detail: str
    timeout_s: float
    wait_s: float = 0.0
    final: bool = False


@dataclass(frozen=True, slots=True)
class Accept:
    """The tier's answer passes. `degraded` names the more able tiers that were down, if any."""

    tier: str
    reason: str
    detail: str = ""
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class BestEffort:
    """No answer passes; this is the best of them."""

    tier: str
    reason: str
    detail: str
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """There is no answer. `reason` says which error the client gets: `rejected` (the tiers refused
    the request), `deadline`, `rate_limited`, `no_tier` or `broke_off` (part of it has gone out).
    """

    reason: Literal["rejected", "deadline", "rate_limited", "no_tier", "broke_off"]
    detail: str
    retry_after: float | None = None


Step = CallTier | Accept | BestEffort | Fail


@dataclass(frozen=True, slots=True)
class State:
    """All that the next step follows from."""

    plan: Plan
    now: float
    outcomes: tuple[Outcome, ...] = field(default=())

    def after(self, outcome: Outcome, now: float) -> "State":
        return replace(self, now=now, outcomes=(*self.outcomes, outcome))

    def at(self, now: float) -> "State":
        return replace(self, now=now)

    @property
    def last(self) -> Outcome | None:
        return self.outcomes[-1] if self.outcomes else None

    @property
    def answers(self) -> tuple[Answered, ...]:
        return tuple(o for o in self.outcomes if isinstance(o, Answered))

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, negative past it."""
        return self.plan.deadline - self.now
