"""A scripted backend under the cache and a ledger in a list."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from serving.backend import Attempt, Call, ChunkStream, Kind, Outcome
from serving.batches import BatchResult, Journal, LineState, Parking
from serving.errors import TierError
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, Chunk, Completion, Usage, as_chunks


class RecordingLedger:
    """Keeps what it opens; `rows` are the attempts that were judged."""

    def __init__(self) -> None:
        self.rows: list[Attempt] = []
        self.admitted = 0

    async def admit(self) -> None:
        self.admitted += 1

    def open(self, call: Call, *, kind: Kind, tier: str, model: str, simulated: bool) -> Attempt:
        attempt = Attempt(
            id=f"att_{len(self.rows)}_{call.request_id}",
            kind=kind,
            tier=tier,
            model=model,
            started_at=time.time(),
            simulated=simulated,
            sink=self.rows.append,
        )
        call.trace.attempts.append(attempt)
        return attempt


@dataclass
class Cascade:
    """Answers like a cascade of which the first tier gave up: an escalated attempt, then one with
    `outcome`. `mark` may set what else the trace says. `fail_after` breaks the stream off after so
    many chunks.
    """

    ledger: RecordingLedger
    choices: tuple[Choice, ...] = (Choice(content="Rayleigh scattering."),)
    outcome: Outcome = "accepted"
    mark: Callable[[Call], None] | None = None
    fail_after: int | None = None
    asked: int = 0
    closed: bool = False
    requests: list[ChatRequest] = field(default_factory=list)

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        self.asked += 1
        self.requests.append(request)
        completion = Completion(
            f"own-{self.asked}", 1_000, "m-big", self.choices, Usage(9, 5), "fp_1"
        )
        for tier, outcome in (("small", "escalated"), ("big", self.outcome)):
            attempt = self.ledger.open(
                call, kind=call.kind, tier=tier, model=f"m-{tier}", simulated=True
            )
            attempt.usage, attempt.cost_usd = Usage(9, 5), Decimal("0.01")
            attempt.judge("escalated" if outcome == "escalated" else self.outcome, "why")
        call.trace.tier = "big"
        if self.mark is not None:
            self.mark(call)
        return completion

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        chunks = as_chunks(await self.complete(request, call), pieces=4)
        try:
            for i, chunk in enumerate(chunks):
                if i == self.fail_after:
                    raise ConnectionError("broke off")
                yield chunk
        except GeneratorExit:
            self.closed = True
            raise


def unmade(completion: Completion) -> Completion:
    """Without what each response has of its own."""
    return replace(completion, id="", created=0)


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.content or "" for chunk in chunks)


@dataclass
class Parks(Cascade):
    """Parks each request for a batch, unless what that gave is in the journal or it has none."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        self.begun.set()
        await self.gate.wait()
        journal = call.journal
        if journal is None or journal.take("big") is not None:
            return await super().complete(request, call)
        attempt = self.ledger.open(call, kind=call.kind, tier="small", model="m", simulated=True)
        attempt.judge("escalated", "gate")
        raise Parking("big", request)


def parked() -> Journal:
    """Of a request that may be parked."""
    return Journal(frozenset({"big"}))


def resumed(*, cost_usd: Decimal | None = Decimal("0.01"), answer: bool = True) -> Journal:
    """Of one that was, with what its batch gave: an answer, or an error."""
    made = Completion("b", 1, "m-big", (Choice(content="From the batch."),), Usage(9, 5))
    error = None if answer else TierError("no")
    state: LineState = "succeeded" if answer else "errored"
    result = BatchResult("c", state, made if answer else None, error, cost_usd)
    return Journal(frozenset({"big"}), 1, "big", result)
