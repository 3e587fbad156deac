"""Guards a tier: a limit on calls at once, a bounded queue, a circuit breaker, pauses on demand."""

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from serving.backend import Backend, Call, ChunkStream
from serving.engines.guard.breaker import Breaker, BreakerState
from serving.engines.guard.limit import Limit
from serving.engines.guard.reading import Ending, Reading, read
from serving.engines.guard.slots import QueueFull, Slots, WaitedTooLong
from serving.errors import TierCircuitOpen, TierPaused, TierQueueFull, TierQueueTimeout
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

MAX_PAUSE_S = 600.0
"""A tier that asks for a longer pause is asked again after this, whatever it said."""

MIN_RETRY_S, MAX_RETRY_S = 1.0, 30.0
"""Bounds of the advice to who finds the queue full."""

SMOOTHING = 0.1
"""The weight of the latest call in the mean duration."""


@dataclass(frozen=True, slots=True)
class GuardState:
    """A tier at this moment, in this process. `pause_s` is left of a pause that it asked for."""

    tier: str
    running: int
    queued: int
    limit: int
    breaker: BreakerState | Literal["off"]
    pause_s: float


class Guard:
    """A Backend that lets no more calls through to `inner` than the tier's settings and the tier
    itself allow. Nothing is hidden by it: errors and chunks pass as they are. A stream holds its
    slot until it is closed.

    At once and without a call to `inner`: `TierCircuitOpen` while the breaker is open, `TierPaused`
    until the time that the tier named in its last `retry-after`, `TierQueueFull`. After a wait:
    `TierQueueTimeout`, also where the request's deadline comes first. All say when to come back;
    none of them may have cost anything, and who waits is sent away when the first two begin.
    """

    def __init__(
        self, inner: Backend, tier: TierSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """In a running event loop. `clock` is in seconds."""
        limits = tier.limits
        self._inner = inner
        self._tier = tier
        self._clock = clock
        self._limit = Limit.of(tier)
        self._slots = Slots(self._limit.calls, max_queued=limits.max_queued)
        self._breaker: Breaker | None = None
        if limits.breaker is not None:
            self._breaker = Breaker(
                tier.name, limits.breaker, on_open=self._slots.end_waits, clock=clock
            )
        self._paused_until = 0.0
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
        )

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        with await self._admit(call):
            return await self._inner.complete(request, call)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        with await self._admit(call) as passage:
            async with aclosing(self._inner.stream(request, call)) as chunks:
                async for chunk in chunks:
                    passage.began = True
                    yield chunk

    async def _admit(self, call: Call) -> "_Passage":
        self._refuse()
        slot = await self._slot(call)
        try:
            self._refuse()  # what has come up while it waited
        except BaseException:
            self._slots.release(slot)
            raise
        trial = self._breaker is not None and self._breaker.enter()
        return _Passage(self._left, call, slot, self._clock(), self._limit.cuts, trial=trial)

    def _refuse(self) -> None:
        """Raises where no call may leave now."""
        name = self._tier.name
        if self._paused_until and (left := self._paused_until - self._clock()) > 0:
            raise TierPaused(f"tier {name} asked for a pause", retry_after=left)
        if self._breaker is not None and (wait := self._breaker.wait_s()) is not None:
            raise TierCircuitOpen(
                f"tier {name} failed too often in a row; it is left alone", retry_after=wait
            )

    async def _slot(self, call: Call) -> object:
        name, wait = self._tier.name, min(self._tier.limits.queue_timeout_s, call.remaining)
        try:
            return await self._slots.acquire(wait)
        except QueueFull:
            raise TierQueueFull(
                f"tier {name}: its queue is full", retry_after=self._advice()
            ) from None
        except WaitedTooLong:
            self._refuse()
            raise TierQueueTimeout(
                f"tier {name}: no turn in time", retry_after=self._advice()
            ) from None

    def _advice(self) -> float:
        """Seconds until those who wait now will have been served (Little's law)."""
        drained = self._mean_s * (self._slots.queued + 1) / self._slots.limit
        return min(max(drained, MIN_RETRY_S), MAX_RETRY_S)

    def _left(self, passage: "_Passage", error: BaseException | None) -> None:
        """A call has ended: its slot is free, and what it says about the tier is taken in."""
        seconds = self._clock() - passage.since
        running = self._slots.running
        self._slots.release(passage.slot)
        if error is None:
            self._mean_s += SMOOTHING * (seconds - self._mean_s) if self._mean_s else seconds
        share = seconds / self._tier.deadline_s
        found = read(Ending(error, share, passage.call.remaining, began=passage.began))
        self._adapt(found, running, passage.cuts)
        if found.pause_s:
            self._pause(found.pause_s)
        if self._breaker is not None:
            self._breaker.leave(found.health, trial=passage.trial)

    def _adapt(self, found: Reading, running: int, cuts: int) -> None:
        before = self._limit
        if found.load == "good":
            self._limit = before.on_success(running)
        elif found.load == "overload":
            self._limit = before.on_overload(cuts)
        if self._limit.calls != before.calls:
            self._slots.resize(self._limit.calls)

    def _pause(self, seconds: float) -> None:
        until = self._clock() + min(seconds, MAX_PAUSE_S)
        self._paused_until = max(self._paused_until, until)
        self._slots.end_waits()


class _Passage:
    """One call's way through; as a context manager it sees how the call ends."""

    __slots__ = ("_left", "began", "call", "cuts", "since", "slot", "trial")

    def __init__(
        self,
        left: Callable[["_Passage", BaseException | None], None],
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._left(self, error)
