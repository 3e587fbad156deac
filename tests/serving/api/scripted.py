"""A backend that plays a script, so that a test says exactly what the API is given and when."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from serving.backend import Attempt, Call, ChunkStream, Decision
from serving.wire.chat import ChatRequest
from serving.wire.completion import Assembler, Chunk, Completion, Usage

Step = str | float | Chunk | Exception | asyncio.Event
HEAD = Chunk("tier-id", 1_700_000_000, "model-of-the-tier")
USAGE = Usage(prompt_tokens=9, completion_tokens=3, cached_tokens=4, reasoning_tokens=1)


@dataclass
class Scripted:
    """Answers every request with `steps`: text is a token, a number a pause in seconds, an event is
    waited for, an exception raised, a chunk passed as it is. Then it stops, unless `broken` (the
    stream just ends). `tier` is what the trace says.
    """

    steps: Sequence[Step] = ("Hello", " world")
    tier: str = "small"
    model: str = "model-of-the-tier"
    broken: bool = False
    usage: Usage = USAGE
    asked: list[tuple[ChatRequest, Call]] = field(default_factory=list)
    running: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        assembler = Assembler()
        async for chunk in self.stream(request, call):
            assembler.add(chunk)
        return replace(assembler.completion(), system_fingerprint="fp_1")

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        self.asked.append((request, call))
        self.running += 1
        self.started.set()
        attempt = self._begin(call)
        head = replace(HEAD, model=self.model)
        try:
            yield replace(head, role="assistant", content="")
            for step in self.steps:
                if isinstance(step, str):
                    yield replace(head, content=step)
                elif isinstance(step, Chunk):
                    yield step
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Exception):
                    attempt.judge("failed", "script")
                    raise step
                else:
                    await asyncio.sleep(step)
            if self.broken:
                return
            yield replace(head, finish_reason="stop")
            yield replace(head, usage=self.usage)
            self._end(attempt, call)
        finally:
            self.running -= 1
            self.stopped.set()

    def _begin(self, call: Call) -> Attempt:
        call.trace.tier = self.tier
        call.trace.decisions.append(Decision("cascade", f"call {self.tier}", "start tier", 0.5))
        attempt = Attempt("att_1", "attempt", self.tier, self.model, 0.0, simulated=True)
        attempt.cost_usd = Decimal(0)
        call.trace.attempts.append(attempt)
        return attempt

    def _end(self, attempt: Attempt, call: Call) -> None:
        attempt.usage, attempt.latency_ms = self.usage, 12.3456
        attempt.cost_usd, attempt.baseline_cost_usd = Decimal("0.0000012"), Decimal("0.00045")
        attempt.judge("accepted", "last tier")
        call.trace.drop(("seed",))
