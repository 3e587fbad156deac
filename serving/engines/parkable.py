"""A tier as calls with a journal see it: parked for a provider's batch, or answered by one."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from serving.backend import Ability, Attempt, Backend, Call, ChunkStream
from serving.batches import BatchResult, Journal, Parking, result_key
from serving.costs.bill import bill, bill_nothing
from serving.costs.estimate import upper_bound
from serving.costs.ledger import Ledger
from serving.costs.meter import Meter
from serving.costs.price import Price
from serving.engines.fit import fit
from serving.errors import StepwellError, TierProtocolError
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion, Usage


class Parkable:
    """A Backend around a tier that meters itself. A call without a journal goes straight through.
    What a batch gave is entered in the ledger as an attempt of its own, at batch rates, and handed
    on as a live answer or error would be; its answer is left for the caller to judge.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        tier: TierSettings,
        ability: Ability,
        price: Price | None,
        ledger: Ledger,
        thinking_room: Callable[[ChatRequest], int] = lambda _request: 0,
    ) -> None:
        self._inner = inner
        self._tier = tier
        self._ability = ability
        self._price = price
        self._ledger = ledger
        self._thinking_room = thinking_room

    def complete(self, request: ChatRequest, call: Call) -> Coroutine[Any, Any, Completion]:
        """Raises `Parking` where the journal says that this tier is not asked."""
        if call.journal is None:
            return self._inner.complete(request, call)
        return self._durable(request, call, call.journal)

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        return self._inner.stream(request, call)

    async def _durable(self, request: ChatRequest, call: Call, journal: Journal) -> Completion:
        name = self._tier.name
        if (result := journal.take(name)) is not None:
            return self._returned(request, call, journal, result)
        if name not in journal.parks:
            return await self._inner.complete(request, call)
        fitted = fit(request, self._tier, self._ability)
        call.trace.drop(fitted.dropped)
        raise Parking(name, fitted.request)

    def _returned(
        self, request: ChatRequest, call: Call, journal: Journal, result: BatchResult
    ) -> Completion:
        attempt = self._open(call, journal)
        if result.completion is None:
            raise self._failed(attempt, result)
        meter = Meter(attempt, self._bound(request), price=self._price, ledger=self._ledger)
        usage = meter.answered(result.completion)
        attempt.latency_ms = None  # hours, and nobody waited
        return replace(result.completion, usage=usage)

    def _open(self, call: Call, journal: Journal) -> Attempt:
        """Whoever takes up the same result again, after a crash, enters it in the same row. The
        ledger is not asked for admission: the money is spent, and must not be turned away.
        """
        attempt = self._ledger.open(
            call,
            kind=call.kind,
            tier=self._tier.name,
            model=self._tier.model,
            simulated=self._tier.simulated,
            settled=False,
            key=result_key(call.request_id, self._tier.name, journal.turn),
        )
        attempt.service = "batch"
        return attempt

    def _failed(self, attempt: Attempt, result: BatchResult) -> StepwellError:
        """What is not billed is known to cost nothing."""
        message = f"tier {self._tier.name}: its batch gave neither an answer nor an error"
        error = result.error or TierProtocolError(message)
        if result.cost_usd == 0:
            bill_nothing(attempt)
        else:
            bill(attempt, None, Usage())
            attempt.cost_usd = result.cost_usd
        attempt.error = error.code or type(error).__name__
        self._ledger.settle(attempt)
        attempt.judge("failed", attempt.error)
        return error

    def _bound(self, request: ChatRequest) -> Callable[[str | None], Usage]:
        own = self._tier.output.max_tokens
        return lambda output: upper_bound(
            request,
            output=output,
            max_output_tokens=min(request.output_limit or own, own),
            thinking_tokens=self._thinking_room(request),
        )
