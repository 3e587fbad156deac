"""Guards a tier: a limit on calls at once, a bounded queue, a pace, a circuit breaker, pauses."""

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import structlog

from serving.backend import Backend, Call, ChunkStream, Embedder
from serving.engines.guard.breaker import Breaker, BreakerState
from serving.engines.guard.limit import Limit
from serving.engines.guard.pace import Pace
from serving.engines.guard.reading import Ending, Reading, read
from serving.engines.guard.slots import QueueFull, Slots, WaitedTooLong, idle_patience
from serving.engines.guard.turns import NothingLeft, Turns
from serving.errors import (
    TierCircuitOpen,
    TierMisconfigured,
    TierPaused,
    TierQueueFull,
    TierQueueTimeout,
)
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion, Usage
from serving.wire.embeddings import EmbeddingRequest, Embeddings

MAX_PAUSE_S = 600.0
"""A tier that asks for a longer pause is asked again after this, whatever it said."""

MIN_RETRY_S, MAX_RETRY_S = 1.0, 30.0
"""Bounds of the advice to who finds the queue full."""

SMOOTHING = 0.1
"""The weight of the latest call in the mean duration."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GuardState:
    """A tier at this moment, in this process. `pause_s` is left of a pause that it asked for,
    `wait_s` until the next call may leave by what its provider says is left of the rate limits.
    `idle_queued`: calls that can wait, and do.
    """

    tier: str
    running: int
    queued: int
    limit: int
    breaker: BreakerState | Literal["off"]
    pause_s: float
    wait_s: float = 0.0
    idle_queued: int = 0


class Admission:
    """Lets no more calls through to a tier than its settings and the tier itself allow: `admit`
    gives a call's passage, in whose context the call is made.

    At once and without a call to the tier: `TierCircuitOpen` while the breaker is open,
    `TierPaused` until the time that the tier named in its last `retry-after` and while nothing is
    left of a rate limit, `TierMisconfigured` for a while after an account could not pay,
    `TierQueueFull`. After a wait: `TierQueueTimeout`, also where the request's deadline comes
    first. All say when to come back; none of them may have cost anything, and who waits is sent
    away when one of the first begins.
    """

    def __init__(
        self,
        tier: TierSettings,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """In a running event loop. `clock` is in seconds; `pace` is what the tier's adapter reports
        to.
        """
        limits = tier.limits
        self._tier = tier
        self._clock = clock
        self._limit = Limit.of(tier)
        self._slots = Slots(self._limit.calls, max_queued=limits.max_queued)
        self._breaker: Breaker | None = None
        if limits.breaker is not None:
            self._breaker = Breaker(tier.name, limits.breaker, on_open=self._end_waits, clock=clock)
        self._pace = pace or Pace(clock)
        self._turns = Turns(self._pace)
        self._paused_until = 0.0
        self._unpaid: TierMisconfigured | None = None
        self._mean_s = 0.0

    @property
    def state(self) -> GuardState:
        return GuardState(
            tier=self._tier.name,
            running=self._slots.running,
            queued=self._slots.queued,
            limit=self._slots.limit,
            breaker="off" if self._breaker is None else self._breaker.state,
            pause_s=max(0.0, self._paused_until - self._clock()),
            wait_s=self._pace.wait().seconds,
            idle_queued=self._slots.idle_queued,
        )

    async def admit(self, call: Call) -> "Passage":
        self._refuse()
        arrived = time.monotonic()
        slot = await self._slot(call)
        try:
            self._refuse()  # what has come up while it waited
            await self._turn(call, time.monotonic() - arrived)
            self._refuse()
        except BaseException:
            self._slots.release(slot)
            raise
        if time.monotonic() - arrived > self._tier.limits.queue_timeout_s:
            call.trace.outwaited.add(self._tier.name)
        trial = self._breaker is not None and self._breaker.enter()
        return Passage(self._left, call, slot, self._clock(), self._limit.cuts, trial=trial)

    def _refuse(self) -> None:
        """Raises where no call may leave now."""
        name = self._tier.name
        if self._paused_until and (left := self._paused_until - self._clock()) > 0:
            if self._unpaid is not None:
                message = f"{self._unpaid.message}; it is left alone for a while"
                raise TierMisconfigured(message, code=self._unpaid.code, retry_after=left)
            raise TierPaused(f"tier {name} asked for a pause", retry_after=left)
        if self._breaker is not None and (wait := self._breaker.wait_s()) is not None:
            raise TierCircuitOpen(
                f"tier {name} failed too often in a row; it is left alone", retry_after=wait
            )

    async def _slot(self, call: Call) -> object:
        try:
            if call.urgency == "offline":
                return await self._slots.acquire_idle(idle_patience(call.remaining, self._mean_s))
            wait = min(self._tier.limits.queue_timeout_s, call.remaining)
            return await self._slots.acquire(wait)
        except QueueFull:
            raise TierQueueFull(
                f"tier {self._tier.name}: its queue is full", retry_after=self._advice()
            ) from None
        except WaitedTooLong:
            raise self._too_late() from None

    async def _turn(self, call: Call, waited_s: float) -> None:
        """Waits until the provider's limits have room for the call."""
        try:
            patience = min(self._tier.limits.queue_timeout_s - waited_s, call.remaining)
            idle = call.urgency == "offline"
            if idle:
                patience = idle_patience(call.remaining, self._mean_s)
            await self._turns.take(max(0.0, patience), idle=idle)
        except NothingLeft as left:
            unit = left.wait.unit.replace("_", " ")
            raise TierPaused(
                f"tier {self._tier.name}: nothing is left of its limit on {unit}",
                retry_after=left.wait.seconds,
            ) from None
        except WaitedTooLong:
            raise self._too_late() from None

    def _too_late(self) -> TierQueueTimeout:
        """What a call gets that waited in vain; raises where something came up that says more."""
        self._refuse()
        name = self._tier.name
        return TierQueueTimeout(f"tier {name}: no turn in time", retry_after=self._advice())

    def _advice(self) -> float:
        """Seconds until those who wait now will have been served (Little's law)."""
        drained = self._mean_s * (self._slots.queued + 1) / self._slots.limit
        return min(max(drained, MIN_RETRY_S), MAX_RETRY_S)

    def _left(self, passage: "Passage", error: BaseException | None) -> None:
        """A call has ended: its slot is free, and what it says about the tier is taken in."""
        seconds = self._clock() - passage.since
        running = self._slots.running
        self._slots.release(passage.slot)
        if error is None:
            self._mean_s += SMOOTHING * (seconds - self._mean_s) if self._mean_s else seconds
        if passage.usage is not None and not passage.usage.estimated:
            self._pace.used(passage.usage)
        share = seconds / self._tier.deadline_s
        found = read(Ending(error, share, passage.call.remaining, began=passage.began))
        self._adapt(found, running, passage.cuts)
        if found.pause_s:
            self._pause(found.pause_s, error)
        if self._breaker is not None:
            self._breaker.leave(found.health, trial=passage.trial)

    def _adapt(self, found: Reading, running: int, cuts: int) -> None:
        before = self._limit
        if found.load == "good" and not self._pace.wait().seconds:  # who is slowed needs no more
            self._limit = before.on_success(running)
        elif found.load == "overload":
            self._limit = before.on_overload(cuts)
        if self._limit.calls != before.calls:
            self._slots.resize(self._limit.calls)

    def _pause(self, seconds: float, error: BaseException | None) -> None:
        now = self._clock()
        self._paused_until = max(self._paused_until, now + min(seconds, MAX_PAUSE_S))
        self._unpaid = None
        if isinstance(error, TierMisconfigured):
            # A copy: the error's own traceback would keep the request.
            self._unpaid = TierMisconfigured(error.message, code=error.code)
            _log.warning("tier_paused", tier=self._tier.name, reason=error.code, seconds=seconds)
        self._end_waits()

    def _end_waits(self) -> None:
        self._slots.end_waits()
        self._turns.end_waits()


class Guard(Admission):
    """A Backend that asks `inner` where `Admission` lets it. Nothing is hidden by it: errors and
    chunks pass as they are. A stream holds its slot until it is closed.
    """

    def __init__(
        self,
        inner: Backend,
        tier: TierSettings,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(tier, pace=pace, clock=clock)
        self._inner = inner

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        with await self.admit(call) as passage:
            completion = await self._inner.complete(request, call)
            passage.usage = completion.usage
            return completion

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        with await self.admit(call) as passage:
            async with aclosing(self._inner.stream(request, call)) as chunks:
                async for chunk in chunks:
                    passage.began = True
                    passage.usage = chunk.usage
                    yield chunk


class GuardedEmbedder(Admission):
    """An Embedder that asks `inner` where `Admission` lets it."""

    def __init__(self, inner: Embedder, tier: TierSettings, *, pace: Pace | None = None) -> None:
        super().__init__(tier, pace=pace)
        self._inner = inner

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        with await self.admit(call) as passage:
            embeddings = await self._inner.embed(request, call)
            passage.usage = embeddings.usage
            return embeddings


class Passage:
    """One call's way through; as a context manager it sees how the call ends."""

    __slots__ = ("_left", "began", "call", "cuts", "since", "slot", "trial", "usage")

    def __init__(
        self,
        left: Callable[["Passage", BaseException | None], None],
        call: Call,
        slot: object,
        since: float,
        cuts: int,
        *,
        trial: bool,
    ) -> None:
        self._left = left
        self.call = call
        self.slot = slot
        self.since = since
        self.cuts = cuts
        self.trial = trial
        self.began = False
        self.usage: Usage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._left(self, error)
