"""`mode: observe`: everything goes to the baseline tier and is only measured, so that a team can
instrument before it changes anything.
"""

from collections.abc import Sequence

from router.known import Past
from router.live import CascadeBackend, Tasks
from router.plan import Plan, PlannedTier, Planning
from router.planner import Planner
from router.rung import Rung
from serving.backend import Call, ChunkStream
from serving.errors import ClientError
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

OBSERVED = "observe mode: answers are only measured"


class ObservePlanner:
    """Plans the baseline tier alone and says what `planned`, the usual planner, would have done.
    What the cascade would refuse is passed on too.
    """

    def __init__(self, baseline: Rung, planned: Planning) -> None:
        settings = baseline.settings
        self._only = PlannedTier(
            tier=settings.name,
            rank=0,
            deadline_s=settings.deadline_s,
            retries=settings.retries,
            gate=None,
            gate_reason=OBSERVED,
        )
        self._planned = planned

    def plan(
        self, request: ChatRequest, call: Call, task: TaskSettings, past: Past | None = None
    ) -> Plan:
        try:
            plan = self._planned.plan(request, call, task, past)
        except ClientError as error:
            would = f"refuse: {error.message}"
        else:
            would = f"start at {plan.start}: {plan.reason}"
        reason = f"observe: the cascade would {would}"
        return Plan((self._only,), reason, call.deadline, gated=False, measure_only=True)


class Observe:
    """A Backend in the cascade's place. Validators run on each answer and their result is noted;
    no answer is held back or replaced. `baseline` is a tier's name.
    """

    def __init__(
        self,
        rungs: Sequence[Rung],
        *,
        baseline: str,
        tasks: Tasks,
    ) -> None:
        rung = next(r for r in rungs if r.name == baseline)
        planner = ObservePlanner(rung, Planner(rungs))
        self._cascade = CascadeBackend([rung], tasks=tasks, planner=planner)

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        return await self._cascade.complete(request, call)

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        return self._cascade.stream(request, call)
