"""A scripted backend under the cache and a ledger in a list."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from serving.backend import Attempt, Call, ChunkStream, Kind, Outcome
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
