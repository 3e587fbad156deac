"""The semantic cache as a Backend: what was asked before, in other words, is answered at once.

It stands behind the exact cache and before all that costs money. Requests of which an identical one
is on its way wait for that one's answer. Nothing that goes wrong here fails a request: a lookup
that is late, or a memory that is away, is a miss.
"""

from collections.abc import Callable
from contextlib import aclosing
from typing import Literal

from cache.keep import Copy, HitLedger, replay
from cache.semantic.answer import Answer, answer_of, dump
from cache.semantic.audit import Audits
from cache.semantic.behind import Behind
from cache.semantic.looking import Look, Looking
from cache.semantic.making import Relay
from cache.semantic.memory import Memory
from cache.semantic.offering import offered
from cache.semantic.verify import Verifier
from serving.backend import Backend, Call, ChunkStream
from serving.settings.semantic import SemanticSettings
from serving.settings.tasks import TaskSettings
from serving.telemetry.semantic import SemanticMetrics
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion, as_chunks

STATES: dict[str, Literal["exact", "semantic"]] = {
    "semantic_cache_hit": "semantic",
    "exact_cache_hit": "exact",
    "merged": "exact",
}


class SemanticCached:
    """A Backend around `inner`; `close` it. `tasks` gives a task's settings by the name in the
    call. `max_entry_bytes` bounds what is shared with others that ask the same at the same time.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        memory: Memory,
        tasks: Callable[[str | None], TaskSettings],
        ledger: HitLedger,
        settings: SemanticSettings,
        audits: Audits,
        metrics: SemanticMetrics,
        max_entry_bytes: int,
        verifier: Verifier | None = None,
        policy: str = "",
    ) -> None:
        self._inner = inner
        self._memory = memory
        self._tasks = tasks
        self._ledger = ledger
        self._settings = settings
        self._metrics = metrics
        self._max_entry_bytes = max_entry_bytes
        self._behind = Behind(memory)
        self._making = self._behind.making
        self._looking = Looking(
            memory,
            self._behind,
            tasks=tasks,
            settings=settings,
            audits=audits,
            metrics=metrics,
            verifier=verifier,
            policy=policy,
        )

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        look = await self._looking.look_up(request, call)
        if look.answer is not None:
            return await self._give(look.answer, look, call)
        if look.asked is None:
            return await self._inner.complete(request, call)
        return await self._making.whole(self._make(look, request, call), look.flight)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        look = await self._looking.look_up(request, call)
        if look.answer is not None:
            for chunk in as_chunks(await self._give(look.answer, look, call)):
                yield chunk
            return
        if look.asked is None:
            chunks = self._inner.stream(request, call)
        else:
            relay = Relay()
            work = self._pump(look, request, call, relay)
            chunks = self._making.streamed(work, relay, look.flight)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def evict(self, request_id: str) -> None:
        """Forgets the answers that this request made, soon."""
        self._behind.do(self._memory.evict(request_id))

    async def close(self) -> None:
        await self._behind.close()

    async def _give(self, answer: Answer, look: Look, call: Call) -> Completion:
        completion = await replay(
            answer, call, self._ledger, started=look.started, reason=look.reason
        )
        call.trace.cache = STATES[look.reason]
        return completion

    async def _make(self, look: Look, request: ChatRequest, call: Call) -> Completion:
        made: bytes | None = None
        try:
            completion = await self._inner.complete(request, call)
            made = self._made(look, completion, call)
        finally:
            self._behind.land(look.flight, made)
        return completion

    async def _pump(self, look: Look, request: ChatRequest, call: Call, relay: Relay) -> None:
        made: bytes | None = None
        copy = Copy(self._max_entry_bytes)
        try:
            async with aclosing(self._inner.stream(request, call)) as chunks:
                async for chunk in chunks:
                    copy.add(chunk)
                    await relay.put(chunk)
            completion = copy.completion()
            made = None if completion is None else self._made(look, completion, call)
        finally:
            self._behind.land(look.flight, made)

    def _made(self, look: Look, completion: Completion, call: Call) -> bytes | None:
        """The answer, if it may be shared; it is kept if it may be kept."""
        answer = answer_of(completion, call)
        try:
            data = None if answer is None else dump(answer)
        except ValueError:
            return None
        if answer is None or data is None or len(data) > self._max_entry_bytes:
            return None
        question = look.asked.question if look.asked is not None else None
        if question is None:
            return data
        fresh = offered(
            question,
            answer,
            data,
            call=call,
            started=look.started,
            task=self._tasks(call.task),
            settings=self._settings,
            vector=b"" if look.miss is None else look.miss.vector,
        )
        if fresh is not None and not self._behind.do(self._memory.offer(fresh)):
            self._metrics.offered("dropped")
        return data
