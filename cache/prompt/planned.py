"""A hosted tier whose prompts are planned for the provider's cache, as a Backend."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from time import monotonic
from typing import Self

from cache.prompt.calls import Decided, Departed, Read
from cache.prompt.fanout import FanOut, Lead
from cache.prompt.planner import PromptCachePlanner
from cache.prompt.reports import STAGE
from serving.backend import Backend, Call, ChunkStream
from serving.errors import TierError, TierProtocolError, TierTimeout
from serving.telemetry.prompt_cache import PromptCacheMetrics
from serving.wire.chat import ChatRequest
from serving.wire.completion import Assembler, Completion, Usage

SHARE_OF_DEADLINE = 0.5
"""Nobody waits longer for another call than this share of the time that is left."""


class PromptCachePlanned:
    """Places breakpoints in what goes to `inner`, lets one of many calls with a cold prefix go
    ahead, and compares the usage that comes back. What it decided and what came of it stand in the
    call's trace. It never makes a call fail: where it cannot plan, the request goes as it came.

    Who leads a fan-out is answered as a stream, whether or not it was asked for one: only a stream
    tells when the answer has begun, so that the others need not wait for its end.
    """

    def __init__(
        self,
        inner: Backend,
        planner: PromptCachePlanner,
        *,
        tier: str,
        wait_s: float,
        metrics: PromptCacheMetrics,
    ) -> None:
        """`wait_s`: the longest that a call waits for the first one of its prefix."""
        self._inner, self._planner, self._tier = inner, planner, tier
        self._wait_s, self._metrics = wait_s, metrics
        self._fan_out = FanOut()

    @property
    def waiting(self) -> int:
        """Calls that wait for the first one of their prefix."""
        return self._fan_out.waiting

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        departed, lead = await self._depart(request, call)
        if departed is None:
            return await self._inner.complete(request, call)
        with lead, _Beginning(self._planner, departed) as beginning:
            if lead.keys:
                completion = await self._streamed(departed, lead, beginning, call)
            else:
                completion = await self._inner.complete(departed.request, call)
                beginning.now(lead)
        self._ended(departed, completion.usage, completion.id, call)
        return completion

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        departed, lead = await self._depart(request, call)
        if departed is None:
            async with aclosing(self._inner.stream(request, call)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        with lead, _Beginning(self._planner, departed) as beginning:
            async with aclosing(self._inner.stream(departed.request, call)) as chunks:
                async for chunk in chunks:
                    beginning.now(lead)
                    if chunk.usage is not None:
                        self._ended(departed, chunk.usage, chunk.id, call)
                    yield chunk

    async def _streamed(
        self, departed: Departed, lead: Lead, beginning: "_Beginning", call: Call
    ) -> Completion:
        """The whole answer, by way of a stream. An error within it is that it broke off: who asked
        for a whole answer would take an overload for a refusal, which costs nothing.
        """
        parts = Assembler()
        try:
            async with aclosing(self._inner.stream(departed.request, call)) as chunks:
                async for chunk in chunks:
                    beginning.now(lead)
                    parts.add(chunk)
        except TierError as error:
            if not beginning.begun or isinstance(error, TierTimeout | TierProtocolError):
                raise
            raise TierProtocolError(f"the answer broke off: {error.message}") from None
        completion = parts.completion()
        choices = tuple(replace(c, content=c.content or None) for c in completion.choices)
        return replace(completion, choices=choices)

    async def _depart(self, request: ChatRequest, call: Call) -> tuple[Departed | None, Lead]:
        """Plans, and waits where another call is writing what this one could read. None where
        nothing can be planned.
        """
        try:
            read = self._planner.read(request, call)
            decided, behind = await self._turn(read, call)
            # Nothing is awaited between the last look at who leads and taking the lead.
            departed = self._planner.depart(read, decided, behind=behind)
        except Exception as error:
            self._planner.reports.failed(error, call)
            return None, self._fan_out.lead(())
        return departed, self._fan_out.lead(decided.cold)

    async def _turn(self, read: Read, call: Call) -> tuple[Decided, bool]:
        """The plan once nobody is ahead, or once time has run out (True)."""
        decided = self._planner.decide(read)
        began = monotonic()
        until = began + min(self._wait_s, SHARE_OF_DEADLINE * call.remaining)
        waited = late = False
        while not late and self._fan_out.ahead(decided.wanted) is not None:
            waited = True
            late = not await self._fan_out.clear(decided.wanted, until - monotonic())
            decided = self._planner.decide(read)
        if waited:
            self._metrics.waited(self._tier, released=not late)
            reason = "until the first call with this prefix had begun"
            if late:
                reason = "the first call with this prefix had not begun by then"
            call.trace.note(STAGE, f"waited {monotonic() - began:.2f} s", reason)
        return decided, late

    def _ended(self, departed: Departed, usage: Usage, message_id: str, call: Call) -> None:
        try:
            self._planner.ended(departed, usage, message_id)
        except Exception as error:
            self._planner.reports.failed(error, call)


class _Beginning:
    """Tells the planner and who waits when an answer begins, or that it never did. `begun` says
    whether it has.
    """

    def __init__(self, planner: PromptCachePlanner, departed: Departed) -> None:
        self._planner, self._departed = planner, departed
        self.begun = False

    def now(self, lead: Lead) -> None:
        if self.begun:
            return
        self.begun = True
        self._tell(self._planner.began)
        lead.began()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.begun:
            self._tell(self._planner.failed)

    def _tell(self, tell: Callable[[Departed], None]) -> None:
        try:
            tell(self._departed)
        except Exception as error:
            self._planner.reports.failed(error, self._departed.read.call)
