"""One request on its way through the cascade: what the live and the stream driver share.

It carries out and records what `next_step` says, and decides nothing.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from router.asking import failed, tier_request
from router.assess import Assessment, assess
from router.cascade import cause_of, next_step
from router.plan import Plan
from router.rung import Rung
from router.steps import (
    Aborted,
    Accept,
    Answered,
    BestEffort,
    CallTier,
    Fail,
    Outcome,
    State,
    Step,
)
from router.validators.base import Validators
from serving import backend
from serving.backend import Attempt, Call
from serving.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NoTierAnswered,
    Overloaded,
    RateLimited,
    StepwellError,
)
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion

NO_ROOM = "resource_unavailable"
"""The code that the flexible service has for a time without room."""

LONG_ANSWER_CHARS = 50_000
"""Longer answers are checked in a thread, so that others need not wait for it."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An answer that was accepted, as whoever wants to check it hears of it. `confidence` is the
    mean logprob of its tokens, None where the tier gave none.
    """

    request: ChatRequest
    call: Call
    task: TaskSettings
    tier: str
    completion: Completion
    attempt: Attempt | None
    confidence: float | None


OnAccepted = Callable[[Accepted], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt, ready to go."""

    rung: Rung
    request: ChatRequest
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in hand. `chunks` is how it came, where it came as a stream and was held back.
    `kept`: it came before the request was parked.
    """

    completion: Completion
    outcome: Answered
    attempt: Attempt | None
    confidence: float | None
    chunks: tuple[Chunk, ...]
    kept: bool = False


class Route:
    """`request` is the client's own; what each tier gets is derived from it.

    An attempt that was cut short must be judged in the same turn of the event loop, before its
    meter calls it cancelled: `fail` and `abort` follow at once where the driver cut one.
    """

    def __init__(
        self,
        request: ChatRequest,
        call: Call,
        *,
        task: TaskSettings,
        plan: Plan,
        rungs: Mapping[str, Rung],
        validators: Validators,
    ) -> None:
        self.request = request
        self.call = call
        self.task = task
        self.plan = plan
        self.validators = validators
        self._rungs = rungs
        self._state = State(plan, time.monotonic())
        self._answers: dict[str, Answer] = {}
        self._error: StepwellError | None = None
        self._first = self._mark = len(call.trace.attempts)
        for skipped in plan.skipped:
            call.trace.note("skip", skipped.tier, skipped.reason)

    def next(self) -> Step:
        """The next step, noted in the trace."""
        self._state = self._state.at(time.monotonic())
        step = next_step(self._state)
        note = self.call.trace.note
        if isinstance(step, CallTier):
            note("call", step.tier, f"{step.reason} ({step.detail})")
        elif isinstance(step, Fail):
            note("fail", step.reason, step.detail)
        else:
            stage = "accept" if isinstance(step, Accept) else "best_effort"
            note(stage, step.tier, f"{step.reason} ({step.detail})" if step.detail else step.reason)
        return step

    async def begin(self, step: CallTier) -> Asked:
        """Waits as the step says and makes the attempt's request."""
        if step.wait_s > 0:
            await asyncio.sleep(step.wait_s)
        self._mark = len(self.call.trace.attempts)
        rung = self._rungs[step.tier]
        read = self.task.spot_check.share > 0 or self.plan.planned(step.tier).gate is not None
        request = tier_request(self.request, self.task, rung, read_logprobs=read)
        return Asked(rung, request, step.timeout_s)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return self._state.outcomes

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Those in hand, by their tiers."""
        return self._answers

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that the present call opened, None before it did."""
        opened = self.call.trace.attempts[self._mark :]
        return opened[-1] if opened else None

    def fail(self, tier: str, error: StepwellError, *, committed: bool = False) -> None:
        outcome = failed(tier, error, committed=committed)
        self._error = error
        self.call.trace.note("fault", outcome.fault, f"{tier}: {outcome.detail}")
        if outcome.fault != "rejected":  # a refusal may quote the prompt
            _log.warning("tier_failed", tier=tier, fault=outcome.fault, error=outcome.detail)
        if (attempt := self.attempt) is not None:
            attempt.error = attempt.error or error.code or outcome.fault
            attempt.judge("failed", attempt.error)
        self._record(outcome)

    def abort(self, tier: str, cause: str, detail: str) -> None:
        """The present stream was closed after its prefix."""
        if (attempt := self.attempt) is not None:
            attempt.judge("escalated", cause)
        self._record(Aborted(tier, cause, detail))

    async def answer(
        self,
        tier: str,
        completion: Completion,
        *,
        chunks: tuple[Chunk, ...] = (),
        committed: bool = False,
    ) -> None:
        """A whole answer came: checks it, and keeps it until it is clear which one is returned."""
        found = await self._assess(tier, completion)
        note = self.call.trace.note
        checked = "passed" if found.verdict.passed else "failed"
        note("validators", checked, found.verdict.reason or f"{len(self.validators.checks)} checks")
        gated = self.plan.planned(tier).gate is not None
        verdict = "accept" if found.gate.accept else "reject"
        note("gate", verdict if gated else "off", found.gate.reason)
        outcome = replace(found.answered(tier), committed=committed)
        kept = Answer(completion, outcome, self.attempt, found.confidence, chunks)
        self._answers[tier] = kept
        self._record(outcome)

    def finish(self, step: Accept | BestEffort) -> Answer:
        """The answer to return; every attempt is judged and the trace is complete."""
        answer = self._answers[step.tier]
        trace = self.call.trace
        trace.tier, trace.degraded = step.tier, step.degraded
        accepted = isinstance(step, Accept)
        if not accepted:
            trace.best_effort = f"{step.reason}: {step.detail}"
        if answer.attempt is not None:
            if answer.kept:  # it was given up when the request was parked
                self._rungs[step.tier].revise(answer.attempt, self.call)
            answer.attempt.judge("accepted" if accepted else "best_effort", step.reason)
        self.close("failed", "internal_error")
        return answer

    def accepted(self, answer: Answer) -> Accepted:
        return Accepted(
            request=self.request,
            call=self.call,
            task=self.task,
            tier=answer.outcome.tier,
            completion=answer.completion,
            attempt=answer.attempt,
            confidence=answer.confidence,
        )

    def error(self, step: Fail) -> StepwellError:
        """What the client gets to see of a failure."""
        error = self._error
        match step.reason:
            case "broke_off" if error is not None:
                return error
            case "rejected" if error is not None:
                return InvalidRequest(error.message, param=error.param, code=error.code)
            case "deadline":
                return DeadlineExceeded(f"No answer within the deadline ({step.detail})")
            case "rate_limited":
                message = f"Every tier is at its limit ({step.detail})"
                if self.call.service == "flex":
                    return RateLimited(message, code=NO_ROOM, retry_after=step.retry_after)
                return Overloaded(message, retry_after=step.retry_after)
        return NoTierAnswered(f"No tier could answer ({step.detail})")

    def close(self, outcome: backend.Outcome, reason: str) -> None:
        """Judges what is still open: an answer in hand was escalated, a call in flight is `outcome`
        for `reason`.
        """
        for answer in self._answers.values():
            if answer.attempt is not None:
                cause = cause_of(self._state, answer.outcome)
                answer.attempt.judge("escalated", cause or "not_returned")
        for attempt in self.call.trace.attempts[self._first :]:
            attempt.judge(outcome, reason)

    def take_up(self, outcome: Outcome, answer: Answer | None = None) -> None:
        """Goes on after something that happened before the request was parked."""
        self._record(outcome)
        if answer is not None:
            self._answers[outcome.tier] = answer

    def _record(self, outcome: Outcome) -> None:
        self._state = self._state.after(outcome, time.monotonic())

    async def _assess(self, tier: str, completion: Completion) -> Assessment:
        settings = self._rungs[tier].settings
        limits = (settings.output.max_tokens, self.task.max_tokens)
        limit = min(v for v in limits if v is not None)
        gate = self.plan.planned(tier)
        args = (self.validators, self.request, completion, gate, limit)
        if sum(len(c.content or "") for c in completion.choices) > LONG_ANSWER_CHARS:
            return await asyncio.to_thread(assess, *args)
        return assess(*args)
