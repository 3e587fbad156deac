"""The cascade as a Backend: the live driver, and the door to the stream driver.

It loops over `next_step` and decides nothing itself.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from router.asking import within, without_logprobs
from router.conversations import FIRST_TURN, Conversations, Recalled
from router.parking import keep, returned, take_up
from router.plan import Planning
from router.planner import AUTO, Planner
from router.route import OnAccepted, Route
from router.rung import Rung
from router.steps import Accept, CallTier, Fail
from router.streaming import stream_route
from router.validators.implied import for_request
from serving.backend import Call, ChunkStream
from serving.batches import Journal, Parking
from serving.errors import StepwellError, TierProtocolError
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

Tasks = Callable[[str | None], TaskSettings]
"""From a task's name, as it stands in the call, to its settings."""

_log = structlog.get_logger(__name__)


class CascadeBackend:
    """Asks `rungs` (cheapest first) as the plan and the step machine say. `on_accepted` hears of
    each accepted answer and must return at once. `planner` replaces the usual one. Without
    `conversations`, each request is planned as if it were the first turn of one.
    """

    def __init__(
        self,
        rungs: Sequence[Rung],
        *,
        tasks: Tasks,
        on_accepted: OnAccepted | None = None,
        planner: Planning | None = None,
        conversations: Conversations | None = None,
    ) -> None:
        self._rungs = {rung.name: rung for rung in rungs}
        self._planner = planner or Planner(rungs)
        self._tasks = tasks
        self._on_accepted = on_accepted
        self._conversations = conversations

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        """`ClientError` where the request is at fault, `ServiceError` where no tier answered. A
        call with a journal goes on where it was parked, and may raise `Parking`.
        """
        route = await self._route(request, call)
        try:
            if call.journal is not None:
                await self._go_on(route, call.journal)
            while True:
                step = route.next()
                if isinstance(step, CallTier):
                    await _ask(route, step)
                elif isinstance(step, Fail):
                    raise route.error(step)
                else:
                    answer = route.finish(step)
                    if isinstance(step, Accept) and self._on_accepted is not None:
                        self._on_accepted(route.accepted(answer))
                    return without_logprobs(answer.completion, request)
        except Parking as parking:
            keep(route, parking)
            raise
        except asyncio.CancelledError:
            route.close("cancelled", "client_closed")
            raise
        finally:
            route.close("failed", "internal_error")

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        """As `complete`; once content has gone out, a tier's failure is raised as `TierError`."""
        return stream_route(partial(self._route, request, call), self._on_accepted)

    async def _route(self, request: ChatRequest, call: Call) -> Route:
        task = self._tasks(call.task)
        recalled = await self._recall(request, call, task)
        plan = self._planner.plan(request, call, task, recalled.past)
        call.trace.note("plan", plan.start, plan.reason)
        if plan.conversation is not None:
            call.trace.note("conversation", plan.conversation.decision, plan.conversation.reason)
        elif recalled.missing:
            call.trace.note("conversation", "unknown", recalled.missing)
        validators = for_request(request, task)
        return Route(request, call, task=task, plan=plan, rungs=self._rungs, validators=validators)

    async def _go_on(self, route: Route, journal: Journal) -> None:
        """Takes up what happened before, and judges what a batch has given since."""
        take_up(route, journal)
        if journal.result is None or journal.tier is None:
            return
        rung = self._rungs.get(journal.tier)
        if rung is None:
            cost = journal.result.cost_usd
            _log.warning("batch_result_of_unknown_tier", tier=journal.tier, cost_usd=str(cost))
        elif route.plan.has(rung.name):
            await _ask(route, returned(route, rung.name))
        else:  # no longer allowed, but the money is spent all the same
            with contextlib.suppress(StepwellError):
                await rung.backend.complete(route.request, route.call)
            route.close("escalated", "not_planned")

    async def _recall(self, request: ChatRequest, call: Call, task: TaskSettings) -> Recalled:
        """A tier that is asked for by name and a critical task leave nothing to choose."""
        if self._conversations is None or request.model != AUTO or task.critical:
            return FIRST_TURN
        return await self._conversations.recall(request, call)


async def _ask(route: Route, step: CallTier) -> None:
    """One attempt; what became of it is recorded in the route."""
    asked = await route.begin(step)
    try:
        async with within(asked.timeout_s, step.tier):
            completion = await asked.rung.backend.complete(asked.request, route.call)
        if not completion.choices:
            raise TierProtocolError(f"{step.tier} answered without a choice")
    except StepwellError as error:
        route.fail(step.tier, error)
    else:
        await route.answer(step.tier, completion)
