"""Scripted tiers that open attempts as `Metered` does, and what tests of the router share."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from router.live import CascadeBackend
from router.rung import Rung
from serving.backend import Ability, Attempt, Backend, Call, ChunkStream
from serving.costs.price import Price, Rates
from serving.errors import StepwellError
from serving.settings.tasks import TaskSettings
from serving.settings.tiers import GateSettings, MockEngine, TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import (
    Choice,
    Chunk,
    Completion,
    FinishReason,
    TokenLogprob,
    ToolCallPart,
    Usage,
)

GATE = GateSettings(min_mean=-0.5, min_window=-1.0, window=4, prefix_tokens=4, prefix_max_tokens=8)
SURE, UNSURE = -0.05, -2.0
LONG = " ".join(f"number{n}" for n in range(1, 21))


@dataclass(frozen=True)
class Reply:
    """What a tier does with one call. Each word of `text` is a token of log-probability `logprob`
    (None: the tier gives none). The `error` comes at once, or in a stream after `error_after`
    words. `hang`: nothing ever comes, in a stream after `error_after` words. `usage` replaces what
    the tier would report.
    """

    text: str = "a fine answer"
    logprob: float | None = SURE
    finish: FinishReason = "stop"
    tool_calls: tuple[ToolCallPart, ...] = ()
    error: Exception | None = None
    error_after: int = 0
    hang: bool = False
    choices: int = 1
    ids: Literal["same", "changing"] = "same"
    finished: bool = True
    usage: Usage | None = None

    @property
    def words(self) -> list[str]:
        return [word + " " for word in self.text.split()]

    def logprobs(self, words: Sequence[str]) -> tuple[TokenLogprob, ...] | None:
        if self.logprob is None:
            return None
        return tuple(TokenLogprob(word, self.logprob) for word in words)


class Scripted:
    """A Backend that plays `replies`, one per call, and keeps what it was asked. `closed` counts
    streams that were closed or cancelled before their end. `records` opens attempts, as `Metered`
    does; without it, `Metered` goes around it.
    """

    def __init__(
        self,
        tier: TierSettings,
        replies: Sequence[Reply],
        *,
        cost_usd: Decimal | None = None,
        records: bool = True,
    ) -> None:
        self._tier = tier
        self._replies = list(replies)
        self._cost = cost_usd
        self._records = records
        self.requests: list[ChatRequest] = []
        self.calls: list[Call] = []
        self.closed = 0

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        reply = self._next(request, call)
        with self._metered(call):
            await asyncio.sleep(0)
            if reply.hang:
                await asyncio.Event().wait()
            if reply.error is not None:
                raise reply.error
            choices = tuple(
                Choice(
                    index,
                    "".join(reply.words).strip() if reply.text else None,
                    reply.tool_calls,
                    reply.finish,
                    logprobs=reply.logprobs(reply.words) if request.logprobs else None,
                )
                for index in range(reply.choices)
            )
            return Completion(
                f"id-{self._tier.name}", 1, self._tier.model, choices, self._usage(reply)
            )

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        reply = self._next(request, call)
        head = Chunk(f"id-{self._tier.name}", 1, self._tier.model)
        with self._metered(call):
            yield replace(head, role="assistant", content="")
            for number, word in enumerate(reply.words):
                await asyncio.sleep(0)
                await _trouble(reply, number)
                at = replace(head, id=f"id-{number}") if reply.ids == "changing" else head
                logprobs = reply.logprobs([word]) if request.logprobs else None
                yield replace(at, content=word, logprobs=logprobs)
            await _trouble(reply, len(reply.words))
            if reply.tool_calls:
                yield replace(head, tool_calls=reply.tool_calls)
            if reply.finished:
                yield replace(head, finish_reason=reply.finish)
            yield replace(head, usage=self._usage(reply))

    def _next(self, request: ChatRequest, call: Call) -> Reply:
        self.requests.append(request)
        self.calls.append(call)
        assert self._replies, f"{self._tier.name} was called more often than the script says"
        return self._replies.pop(0)

    def _usage(self, reply: Reply) -> Usage:
        return reply.usage or Usage(10, len(reply.words) * reply.choices)

    @contextmanager
    def _metered(self, call: Call) -> Iterator[None]:
        """As `Metered`: failures are judged here, cancellations a turn of the loop later."""
        if not self._records:
            yield
            return
        number = len(call.trace.attempts)
        attempt = Attempt(f"a{number}", call.kind, self._tier.name, self._tier.model, time.time())
        call.trace.attempts.append(attempt)
        attempt.cost_usd, attempt.usage, attempt.latency_ms = self._cost, Usage(10, 3), 5.0
        try:
            yield
        except Exception as error:
            code = error.code if isinstance(error, StepwellError) else type(error).__name__
            attempt.error = code
            attempt.judge("failed", code or "")
            raise
        except BaseException:
            self.closed += 1
            asyncio.get_running_loop().call_soon(attempt.judge, "cancelled", "cancelled")
            raise


async def _trouble(reply: Reply, number: int) -> None:
    if number == reply.error_after:
        if reply.hang:
            await asyncio.Event().wait()
        if reply.error is not None:
            raise reply.error


@dataclass
class Ladder:
    """Rungs with scripted tiers, cheapest first."""

    rungs: list[Rung] = field(default_factory=list)
    tiers: dict[str, Scripted] = field(default_factory=dict)

    def add(
        self,
        name: str,
        *replies: Reply,
        ability: Ability | None = None,
        price: float | None = None,
        **settings: Any,
    ) -> "Ladder":
        """`price` in USD per million tokens, in and out; None where it is unknown."""
        tier = tier_settings(name, **settings)
        cost = None if price is None else Decimal("0.001")
        scripted = Scripted(tier, replies, cost_usd=cost)
        self.tiers[name] = scripted
        able = ability or Ability(logprobs=tier.gate is not None)
        self.rungs.append(rung(tier, scripted, ability=able, price=price))
        return self


def two_tiers(small: Reply, large: Reply | None = None, **settings: Any) -> Ladder:
    """A gated tier and one above it, which plays nothing where `large` is None."""
    ladder = Ladder().add("small", small, gate=GATE, **settings)
    return ladder.add("large", large) if large else ladder.add("large")


def tier_settings(name: str, **settings: Any) -> TierSettings:
    return TierSettings(
        name=name, model=f"{name}-model", backend=MockEngine(engine="mock"), **settings
    )


def rung(
    tier: TierSettings,
    backend: Backend,
    *,
    ability: Ability | None = None,
    price: float | None = 1.0,
) -> Rung:
    return Rung(tier, backend, ability or Ability(), None if price is None else flat_price(price))


def flat_price(usd_per_mtok: float) -> Price:
    rate = Decimal(str(usd_per_mtok)) / 1_000_000
    return Price(Rates(rate, rate, rate, rate, rate), "test")


def make_request(text: str = "What is it?", model: str = "auto", **fields: Any) -> ChatRequest:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
    return ChatRequest.model_validate(body)


def make_call(*, within_s: float = 30.0, request_id: str = "r1", **fields: Any) -> Call:
    return Call(request_id, "acme", time.monotonic() + within_s, **fields)


def make_task(name: str = "default", **fields: Any) -> TaskSettings:
    return TaskSettings.model_validate({"name": name, **fields})


def one_task(task: TaskSettings) -> Callable[[str | None], TaskSettings]:
    """Every request belongs to `task`."""
    return lambda _name: task


def stream(
    ladder: Ladder,
    call: Call,
    task: TaskSettings | None = None,
    request: ChatRequest | None = None,
) -> ChunkStream:
    """Streams through the cascade."""
    backend = CascadeBackend(ladder.rungs, tasks=one_task(task or make_task()))
    return backend.stream(request or make_request(stream=True), call)


async def read(stream: ChunkStream) -> list[Chunk]:
    return [chunk async for chunk in stream]


def text_of(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.content or "" for chunk in chunks).strip()


def verdicts(call: Call) -> list[tuple[str, str, str]]:
    """Tier, outcome and reason of each attempt, in order."""
    return [(a.tier, a.outcome, a.reason) for a in call.trace.attempts]
