"""Spot checks: a share of the accepted cheap answers is answered again by a reference tier, in the
background, and the two are compared. Both go to the outcomes log, from which gates are calibrated.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from router.asking import tier_request, whole_request, within
from router.budget import DailyBudget, SpentToday
from router.compare import Comparison, compare
from router.outcomes import OutcomesLog, checked
from router.planner import Planner
from router.route import Accepted
from router.rung import Rung
from router.validators.implied import for_request
from serving.backend import Call
from serving.checks import Checks, drawn
from serving.errors import StepwellError
from serving.settings.tasks import SpotCheckBudget
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

PURPOSE = "spot check"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    accepted: Accepted
    reference: Rung


class SpotChecker:
    """`offer` hears of accepted answers. Checks wait in a bounded queue, a few run at a time, and
    together they stay below a daily cap in USD; what does not fit is dropped and counted in
    `dropped` by reason. `on_disagreed`, where set, hears the id of each request whose cheap answer
    turned out wrong. A reference whose price is unknown cannot be capped, so it is not asked.
    """

    def __init__(
        self,
        rungs: Sequence[Rung],
        *,
        planner: Planner,
        settings: SpotCheckBudget,
        log: OutcomesLog,
        spent_today: SpentToday,
    ) -> None:
        self._rungs = {rung.name: rung for rung in rungs}
        self._order = [rung.name for rung in rungs]
        self._planner = planner
        self._log = log
        self.on_disagreed: Callable[[str], object] | None = None
        self._budget = DailyBudget(settings.max_usd_per_day, spent_today)
        self._checks = Checks(
            self._check,
            self._failed,
            name="spot-check",
            max_concurrent=settings.max_concurrent,
            max_queued=settings.max_queued,
        )
        self.dropped: Counter[str] = Counter()

    def offer(self, accepted: Accepted) -> None:
        """Returns at once; whether the answer is checked follows from its request id."""
        task = accepted.task
        if task.critical or not drawn(accepted.call.request_id, task.spot_check.share, PURPOSE):
            return
        name = self._planner.reference(accepted.request, accepted.call, task)
        if name is not None and self._order.index(name) <= self._order.index(accepted.tier):
            return
        reason = self._obstacle(name, accepted.request)
        if reason is not None or name is None:
            self.dropped[reason or "no_reference"] += 1
            return
        self._checks.put(_Job(accepted, self._rungs[name]))

    async def close(self, timeout_s: float) -> None:
        """Takes no more, waits for what is queued and running, and gives the rest up in time."""
        if given_up := await self._checks.close(timeout_s):
            self.dropped["shutdown"] += given_up

    def _obstacle(self, reference: str | None, request: ChatRequest) -> str | None:
        """Why an answer that was drawn is not checked, None where it is."""
        if reference is None:
            return "no_reference"
        if self._rungs[reference].price is None:
            return "unpriced"
        return self._checks.obstacle(request)

    def _failed(self, error: Exception) -> None:
        self.dropped["error"] += 1
        # The message may quote what was to be stored, so only its kind is told.
        _log.error("spot_check_failed", error=type(error).__name__)

    async def _check(self, job: _Job) -> None:
        accepted, reference = job.accepted, job.reference
        request = whole_request(accepted.request)
        request = tier_request(request, accepted.task, reference, read_logprobs=True)
        usd = reference.most_usd(request)
        assert usd is not None
        if not await self._budget.set_aside(usd):
            self.dropped["budget"] += 1
            return
        deadline = time.monotonic() + reference.settings.deadline_s
        call = accepted.call.aside("spot_check", deadline=deadline)
        try:
            completion = await _ask(job, request, call)
        finally:
            cost = call.trace.cost_usd
            self._budget.settle(usd, usd if cost is None else cost)
        if completion is None:
            self.dropped["reference_failed"] += 1
            return
        comparison = await asyncio.to_thread(_compare, accepted, completion)
        attempt = next(iter(call.trace.attempts), None)
        if attempt is not None:
            attempt.judge("compared", comparison.word)
        record = checked(accepted, reference.name, completion, attempt, comparison)
        if record.agreed is False and self.on_disagreed is not None:
            self.on_disagreed(record.id)
        await self._log.add(record)


async def _ask(job: _Job, request: ChatRequest, call: Call) -> Completion | None:
    """The reference's answer, None where it gave none. It is asked once."""
    try:
        async with within(call.remaining, job.reference.name):
            completion = await job.reference.backend.complete(request, call)
    except StepwellError as error:
        for attempt in call.trace.attempts:
            attempt.judge("failed", error.code or "tier_error")
        return None
    return completion if completion.choices else None


def _compare(accepted: Accepted, completion: Completion) -> Comparison:
    return compare(
        accepted.completion.first,
        completion.first,
        how=accepted.task.spot_check,
        validators=for_request(accepted.request, accepted.task),
        request=accepted.request,
    )
