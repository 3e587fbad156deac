"""The stream driver: the same steps, with a stream that may flow before its end is known.

A stream is held back until it commits. Until then it can fail or be aborted, and the next tier is
asked; from then on its chunks flow, and nothing can replace it. The usage chunk comes last, once
every attempt is judged, so that the final figures can stand in it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace

from router.asking import within
from router.prefix import Judgement, PrefixJudge, mode_of, substantial
from router.route import Answer, OnAccepted, Route
from router.steps import Accept, CallTier, Fail
from serving.backend import ChunkStream
from serving.errors import StepwellError, TierProtocolError
from serving.wire.completion import Assembler, Chunk


async def stream_route(
    make_route: Callable[[], Awaitable[Route]], on_accepted: OnAccepted | None
) -> ChunkStream:
    """The chunks of the answer, one usage chunk last. Closing it closes the tier's stream."""
    route = await make_route()
    outlet = _Outlet(with_logprobs=bool(route.request.logprobs))
    try:
        while True:
            step = route.next()
            if isinstance(step, CallTier):
                async with aclosing(_Attempt(route, step).chunks()) as chunks:
                    async for chunk in chunks:
                        if (fitted := outlet.fit(chunk)) is not None:
                            yield fitted
            elif isinstance(step, Fail):
                raise route.error(step)
            else:
                answer = route.finish(step)
                if isinstance(step, Accept) and on_accepted is not None:
                    on_accepted(route.accepted(answer))
                for chunk in outlet.rest(answer):
                    yield chunk
                return
    except (asyncio.CancelledError, GeneratorExit):
        route.close("cancelled", "client_closed")
        raise
    finally:
        route.close("failed", "internal_error")


class _Attempt:
    """One streamed attempt at a tier."""

    def __init__(self, route: Route, step: CallTier) -> None:
        self._route = route
        self._step = step
        self._mode = mode_of(step, route.plan, route.validators, route.request)
        self._judge = PrefixJudge(self._mode, route.plan.planned(step.tier), route.validators)
        self._assembler = Assembler()
        self._held: list[Chunk] = []
        self._committed = False
        self._until = 0.0

    async def chunks(self) -> ChunkStream:
        """The attempt's chunks from its commitment on, the usage chunk left out. What became of it
        is recorded in the route by the end.
        """
        route, tier = self._route, self._step.tier
        asked = await route.begin(self._step)
        self._until = time.monotonic() + asked.timeout_s
        route.call.trace.note("stream", self._mode.kind, f"{tier}: {self._mode.reason}")
        aborted: Judgement | None = None
        try:
            async with aclosing(asked.rung.backend.stream(asked.request, route.call)) as source:
                while aborted is None and (chunk := await self._pull(source)) is not None:
                    judgement = self._take(chunk)
                    if judgement.action == "commit":
                        for ready in self._released():
                            yield ready
                    elif judgement.action == "abort":
                        aborted = judgement
            if aborted is None and not self._assembler.finished:
                raise TierProtocolError(f"{tier} broke off without a finish reason")
        except StepwellError as error:
            route.fail(tier, error, committed=self._committed)
            return
        if aborted is not None:
            route.abort(tier, aborted.cause, aborted.detail)
            return
        held, whole = tuple(self._held), self._assembler.completion()
        await route.answer(tier, whole, chunks=held, committed=self._committed)

    async def _pull(self, source: ChunkStream) -> Chunk | None:
        """The next chunk, None at the end. The tier's deadline is for what is held back; what flows
        has until the request's.
        """
        until = self._route.call.deadline if self._committed else self._until
        async with within(until - time.monotonic(), self._step.tier):
            return await anext(source, None)

    def _take(self, chunk: Chunk) -> Judgement:
        """Keeps the chunk and judges the stream with it, unless it flows already."""
        self._assembler.add(chunk)
        if chunk.usage is not None:
            return Judgement("wait", "usage comes last")
        self._held.append(chunk)
        if self._committed:
            return Judgement("commit", "committed before")
        judgement = self._judge.see(chunk)
        if judgement.action != "wait":
            detail = f"{self._step.tier}: {judgement.detail}"
            self._route.call.trace.note("stream", judgement.action, detail)
        self._committed = judgement.action == "commit"
        return judgement

    def _released(self) -> list[Chunk]:
        """What was held back, now free to flow."""
        released, self._held = self._held, []
        return released


class _Outlet:
    """What the client sees: one id, time and model name per response, and no logprobs that only
    Stepwell asked for.
    """

    def __init__(self, *, with_logprobs: bool) -> None:
        self._with_logprobs = with_logprobs
        self._head: Chunk | None = None

    def fit(self, chunk: Chunk) -> Chunk | None:
        """None where nothing is left to say."""
        head = self._head = self._head or chunk
        if (chunk.id, chunk.created, chunk.model) != (head.id, head.created, head.model):
            chunk = replace(chunk, id=head.id, created=head.created, model=head.model)
        if chunk.logprobs is None or self._with_logprobs:
            return chunk
        chunk = replace(chunk, logprobs=None)
        says_something = substantial(chunk) or chunk.role or chunk.finish_reason
        return chunk if says_something else None

    def rest(self, answer: Answer) -> Iterator[Chunk]:
        """What has not gone out of `answer` yet: all of it if it was held, then its usage."""
        for held in answer.chunks:
            if (fitted := self.fit(held)) is not None:
                yield fitted
        whole = answer.completion
        usage = Chunk(whole.id, whole.created, whole.model, usage=whole.usage)
        if (fitted := self.fit(usage)) is not None:
            yield fitted
