"""Meters a tier: one attempt per call, with what it used, what it cost and how long it took."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

from serving.backend import Backend, Call, ChunkStream
from serving.costs.estimate import upper_bound
from serving.costs.ledger import Ledger
from serving.costs.meter import Meter
from serving.costs.price import Price
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion, Usage

CASCADE = "auto"
"""The model of a request that may climb."""


def _no_thinking(_request: ChatRequest) -> int:
    return 0


class Metered:
    """A Backend that records each call of `inner` in the ledger.

    A call that fails is judged `failed` here; one that is cancelled, or a stream that is closed
    before its usage chunk, is judged `cancelled`, unless whoever ended it judges it before, or
    right after in the same turn of the loop. A call that succeeds is left open: whether its answer
    is good is for the caller to judge. The figures are complete when `complete` returns, and before
    a stream's usage chunk is passed on.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        tier: TierSettings,
        price: Price | None,
        ledger: Ledger,
        thinking_room: Callable[[ChatRequest], int] = _no_thinking,
        above: Price | None = None,
    ) -> None:
        """`thinking_room`: tokens that the tier may spend on thoughts beyond its output limit; they
        count in the upper bounds of calls whose usage never came. `above` is the price of the next
        tier, None where there is none or its price is unknown.
        """
        self._inner = inner
        self._tier = tier
        self._price = price
        self._ledger = ledger
        self._thinking_room = thinking_room
        self._next_price = above

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        with await self._open(request, call) as meter:
            await self._leave(meter, call)
            completion = await self._inner.complete(request, call)
            usage = meter.answered(completion)
        return completion if usage is completion.usage else replace(completion, usage=usage)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        with await self._open(request, call) as meter:
            meter.streams()
            await self._leave(meter, call)
            async with aclosing(self._inner.stream(request, call)) as chunks:
                last: Chunk | None = None
                async for chunk in chunks:
                    last = chunk
                    if chunk.usage is not None:
                        yield replace(chunk, usage=meter.ended(chunk.usage))
                    else:
                        meter.saw(chunk)
                        yield chunk
                if last is not None and last.usage is None:  # the tier owes one with its usage
                    usage = meter.ended(Usage())
                    yield Chunk(last.id, last.created, last.model, usage=usage)

    async def _open(self, request: ChatRequest, call: Call) -> Meter:
        await self._ledger.admit()
        attempt = self._ledger.open(
            call,
            kind=call.kind,
            tier=self._tier.name,
            model=self._tier.model,
            simulated=self._tier.simulated,
            settled=False,
        )
        own = self._tier.output.max_tokens
        limit = min(request.output_limit or own, own)
        thinking = self._thinking_room(request)
        return Meter(
            attempt,
            lambda output: upper_bound(
                request, output=output, max_output_tokens=limit, thinking_tokens=thinking
            ),
            price=self._price,
            ledger=self._ledger,
            above=lambda: self._above(request, call),
        )

    def _above(self, request: ChatRequest, call: Call) -> Price | None:
        """Of the tier that a live request would have climbed to instead of waiting for this one."""
        waited = call.service == "flex" and self._tier.name in call.trace.outwaited
        could_climb = request.model == CASCADE and call.max_tier != self._tier.name
        return self._next_price if waited and could_climb else None

    async def _leave(self, meter: Meter, call: Call) -> None:
        if self._tier.hosted:
            meter.expect_the_most()
            await self._ledger.intent(meter.attempt, call)
        meter.leaves()
