"""Which answers may be kept, and how a kept one is given again: the same for all caches."""

import time
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from serving.backend import Attempt, Call, Kind, new_id
from serving.wire.completion import Assembler, Chunk, Completion

WHOLE = frozenset({"stop", "tool_calls", "function_call"})
"""Finish reasons of an answer that says all it has to say."""


class HitLedger(Protocol):
    """What a cache needs of the ledger."""

    async def admit(self) -> None: ...

    def open(
        self, call: Call, *, kind: Kind, tier: str, model: str, simulated: bool
    ) -> Attempt: ...


class Kept(Protocol):
    """A kept answer, and the attempt that made it."""

    @property
    def completion(self) -> Completion: ...
    @property
    def tier(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def simulated(self) -> bool: ...
    @property
    def dropped(self) -> tuple[str, ...]: ...


async def replay(
    kept: Kept, call: Call, ledger: HitLedger, *, started: float, reason: str
) -> Completion:
    """A copy under a new id and time: each response is one of its own, with its own row in the
    ledger, at no cost. `started` in `time.monotonic()` seconds. `Overloaded` where the ledger takes
    no rows.
    """
    await ledger.admit()
    attempt = ledger.open(
        call, kind="cache_hit", tier=kept.tier, model=kept.model, simulated=kept.simulated
    )
    call.trace.tier = kept.tier
    call.trace.drop(kept.dropped)
    attempt.usage = kept.completion.usage
    attempt.cost_usd = Decimal(0)
    attempt.latency_ms = (time.monotonic() - started) * 1_000
    attempt.judge("accepted", reason)
    return replace(kept.completion, id=f"chatcmpl-{new_id()}", created=int(time.time()))


def maker_of(call: Call) -> Attempt | None:
    """The accepted attempt that made the answer, None where none was accepted."""
    attempts = (a for a in reversed(call.trace.attempts) if a.kind == call.kind)
    return next((a for a in attempts if a.outcome == "accepted"), None)


def keepable(completion: Completion, call: Call) -> bool:
    """Whether it was accepted without reserve: not best effort, not degraded, not refused, not cut
    short.
    """
    trace = call.trace
    if trace.best_effort is not None or trace.degraded is not None or not completion.choices:
        return False
    return all(c.finish_reason in WHOLE and not c.refusal for c in completion.choices)


def without_logprobs(completion: Completion) -> Completion:
    choices = tuple(replace(c, logprobs=None) for c in completion.choices)
    return replace(completion, choices=choices)


class Copy:
    """Assembles a stream in passing, as long as it fits into an entry."""

    def __init__(self, max_bytes: int) -> None:
        self._assembler: Assembler | None = Assembler()
        self._left = max_bytes

    def add(self, chunk: Chunk) -> None:
        if self._assembler is None:
            return
        texts = (chunk.content, chunk.reasoning, *(c.arguments for c in chunk.tool_calls))
        self._left -= sum(len(text) for text in texts if text is not None)
        if self._left < 0:
            self._assembler = None
            return
        self._assembler.add(chunk)

    def completion(self) -> Completion | None:
        """The whole answer; None where it was too long or did not come to its end."""
        whole = self._assembler
        if whole is None or not whole.finished or whole.usage is None:
            return None
        return whole.completion()
