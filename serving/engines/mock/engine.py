"""The mock engine as a backend: paces the planned answer and keeps the promises of `Backend`."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from serving.backend import Ability, Call, ChunkStream
from serving.engines.mock.plan import Piece, Plan, Planned, plan
from serving.errors import TierProtocolError, TierTimeout, TierUnavailable
from serving.settings.tiers import MockEngine, TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion

MIN_SLEEP_S = 0.001
UNBOUNDED_CONTEXT = 100_000_000


def mock_ability(engine: MockEngine) -> Ability:
    """A mock takes every parameter, known or not; `docs/mock.md` says which ones it follows. Its
    context has no end of its own, so the tier's setting decides.
    """
    return Ability(
        images=True,
        logprobs=engine.logprobs,
        multiple_choices=True,
        context_tokens=UNBOUNDED_CONTEXT,
    )


class MockBackend:
    """Answers as `docs/mock.md` describes. An attempt ends with `TierTimeout` at the earlier of the
    call's deadline and the tier's own, whatever `time_scale` is.
    """

    def __init__(self, tier: TierSettings, engine: MockEngine) -> None:
        self._tier = tier
        self._engine = engine
        self._running = 0

    @property
    def running(self) -> int:
        """Answers being generated now."""
        return self._running

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        with self._counted():
            clock = Clock(self._tier, self._engine, call)
            planned = plan(request, self._tier.name, self._engine, call.task)
            await self._begin(planned, clock)
            if planned.fault == "error_midstream":
                await clock.wait((planned.first_s + planned.seconds) / 2)
                raise self._broken_off()
            await clock.wait(planned.seconds)
            answers = tuple(c.answer for c in planned.choices)
            head = self._head()
            return Completion(head.id, head.created, head.model, answers, planned.usage)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        with self._counted():
            clock = Clock(self._tier, self._engine, call)
            planned = plan(request, self._tier.name, self._engine, call.task)
            await self._begin(planned, clock)
            head = self._head()
            longest = max(len(c.pieces) for c in planned.choices)
            stop_at = longest // 2 if planned.fault == "error_midstream" else longest + 1
            for at in range(longest + 1):
                if at >= stop_at:
                    raise self._broken_off()
                if at:
                    await clock.wait(planned.first_s + at * planned.per_token_s)
                for choice in planned.choices:
                    for chunk in _chunks_at(head, choice, at):
                        yield chunk
            yield Chunk(head.id, head.created, head.model, usage=planned.usage)

    async def _begin(self, planned: Plan, clock: "Clock") -> None:
        """Waits for the first token, or fails as the fault says. Lets other tasks run even where
        nothing is waited for, as a real call would.
        """
        await asyncio.sleep(0)
        if planned.fault == "hang":
            await clock.hang()
        await clock.wait(planned.first_s)
        if planned.fault == "error":
            raise TierUnavailable(f"{self._tier.name}: simulated outage (mock_fault error)")

    def _broken_off(self) -> TierProtocolError:
        return TierProtocolError(f"{self._tier.name}: the simulated answer broke off")

    def _head(self) -> Chunk:
        return Chunk(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), self._tier.model)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


class Clock:
    """Waits in scaled time since the attempt began, never past its deadline."""

    def __init__(self, tier: TierSettings, engine: MockEngine, call: Call) -> None:
        self._scale = engine.time_scale
        self._tier = tier.name
        self._began = time.monotonic()
        self._deadline = min(call.deadline, self._began + tier.deadline_s)

    async def wait(self, simulated_s: float) -> None:
        """Until that many simulated seconds since the beginning. Shorter waits than a millisecond
        are left to the next one, so fast streams cost no timers.
        """
        due = self._began + simulated_s * self._scale
        now = time.monotonic()
        if now >= self._deadline:
            raise self._late()
        if due - now < MIN_SLEEP_S:
            return
        if due > self._deadline:
            await self.hang()
        await asyncio.sleep(due - now)

    async def hang(self) -> None:
        """Until the deadline, which it raises."""
        await asyncio.sleep(max(0.0, self._deadline - time.monotonic()))
        raise self._late()

    def _late(self) -> TierTimeout:
        return TierTimeout(f"{self._tier}: no answer before the attempt's deadline")


def _chunks_at(head: Chunk, planned: Planned, at: int) -> Iterator[Chunk]:
    """What a choice sends at step `at`: its role and first token at 0, one token at each of the
    next, its finish after the last one.
    """
    answer, pieces = planned.answer, planned.pieces
    if at == 0:
        content = None if answer.content is None else ""
        yield Chunk(head.id, head.created, head.model, answer.index, "assistant", content)
    if at < len(pieces):
        yield _piece(head, planned, pieces[at], at)
    if at == max(len(pieces), 1) or (at == 0 and not pieces):
        if answer.refusal is not None:
            yield Chunk(head.id, head.created, head.model, answer.index, refusal=answer.refusal)
        yield Chunk(
            head.id, head.created, head.model, answer.index, finish_reason=answer.finish_reason
        )


def _piece(head: Chunk, planned: Planned, piece: Piece, at: int) -> Chunk:
    answer = planned.answer
    return Chunk(
        head.id,
        head.created,
        head.model,
        answer.index,
        content=piece.token if piece.call is None else None,
        tool_calls=() if piece.call is None else (piece.call,),
        logprobs=None if answer.logprobs is None else (answer.logprobs[at],),
    )
