"""Audits: a share of the semantic hits is answered anew, in the background, and compared.

The answer comes from what would have answered without the cache. What it costs stands in the ledger
as a `cache_check`, and all of it together stays below a daily cap.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

import structlog

from cache.semantic.answer import Answer, answer_of, dump
from cache.semantic.memory import Hit, Memory, Verdict
from cache.semantic.offering import offered
from cache.semantic.question import Question
from cache.semantic.verify import AUDIT
from serving.backend import Backend, Call
from serving.checks import Checks, drawn
from serving.errors import StepwellError
from serving.settings.semantic import SemanticSettings
from serving.settings.tasks import TaskSettings
from serving.telemetry.semantic import SemanticMetrics
from serving.wire.chat import ChatRequest

DEADLINE_S = 120.0
PURPOSE = "cache audit"

_log = structlog.get_logger("stepwell.cache")


class Budget(Protocol):
    """A daily allowance in USD: the most that a thing may cost is set aside before."""

    async def set_aside(self, usd: Decimal) -> bool: ...

    def settle(self, usd: Decimal, cost: Decimal) -> None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """A semantic hit that was given to a client."""

    request: ChatRequest
    call: Call
    task: TaskSettings
    question: Question
    hit: Hit
    verified: bool = False


@dataclass(slots=True)
class Audits:
    """`offer` hears of hits. Audits wait in a bounded queue, a few run at a time; what does not fit
    is left out and counted. `most_usd` tells what `inner` may cost for a request at most, None
    where that is unknown: then nothing is audited.
    """

    inner: Backend
    memory: Memory
    settings: SemanticSettings
    budget: Budget
    most_usd: Callable[[ChatRequest], Decimal | None]
    metrics: SemanticMetrics
    _checks: Checks[Served] = field(init=False)

    def __post_init__(self) -> None:
        self._checks = Checks(
            self._audit,
            self._failed,
            name=PURPOSE,
            max_concurrent=self.settings.audits.max_concurrent,
            max_queued=self.settings.audits.max_queued,
        )

    def offer(self, served: Served) -> None:
        """Returns at once; whether the hit is audited follows from its request id."""
        share = served.task.cache.semantic.audit
        if served.verified:
            share = max(share, AUDIT)
        if not drawn(served.call.request_id, share, PURPOSE):
            return
        if (obstacle := self._checks.obstacle(served.request)) is not None:
            self.metrics.skipped(obstacle)
            return
        self._checks.put(served)

    async def close(self, timeout_s: float) -> None:
        """Takes no more, waits for what is queued and running, and gives the rest up in time."""
        await self._checks.close(timeout_s)

    def _failed(self, error: Exception) -> None:
        self.metrics.skipped("error")
        _log.error("cache_audit_failed", error=type(error).__name__)

    async def _audit(self, served: Served) -> None:
        usd = self.most_usd(served.request)
        if usd is None:
            self.metrics.skipped("unpriced")
            return
        if not await self.budget.set_aside(usd):
            self.metrics.skipped("budget")
            return
        asked = served.call
        deadline = time.monotonic() + DEADLINE_S
        call = asked.aside("cache_check", deadline=deadline, max_tier=asked.max_tier)
        try:
            answer = await self._ask(served, call)
        finally:
            cost = call.trace.cost_usd
            self.budget.settle(usd, usd if cost is None else cost)
        fresh = None if answer is None else dump(answer)
        verdict = Verdict(
            question=served.question,
            entry_id=served.hit.entry_id,
            score=served.hit.score,
            served=served.hit.answer,
            fresh=fresh,
            request_id=served.call.request_id,
            verified=served.verified,
        )
        right = await self.memory.verdict(verdict)
        if right is False and answer is not None and fresh is not None:
            await self._replace(served, answer, fresh, call)

    async def _ask(self, served: Served, call: Call) -> Answer | None:
        """The fresh answer, None where none came that can be relied on."""
        request = _unstreamed(served.request)
        try:
            async with asyncio.timeout(max(0.0, call.remaining)):
                completion = await self.inner.complete(request, call)
        except (StepwellError, TimeoutError):
            return None
        return answer_of(completion, call)

    async def _replace(self, served: Served, answer: Answer, fresh: bytes, call: Call) -> None:
        """The right answer takes the place of the wrong one."""
        right = offered(
            served.question,
            answer,
            fresh,
            call=call,
            started=call.trace.started,
            task=served.task,
            settings=self.settings,
            learn=False,
        )
        if right is not None:
            await self.memory.offer(right)


def _unstreamed(request: ChatRequest) -> ChatRequest:
    streamed = {"stream", "stream_options"} & request.model_fields_set
    copy = request.model_copy(update=dict.fromkeys(streamed))
    copy.model_fields_set.difference_update(streamed)
    return copy
