"""The full record of critical requests: what was asked, what was answered, and why."""

import asyncio
from contextlib import aclosing
from typing import Protocol

from router.live import Tasks
from serving.backend import Backend, Call, ChunkStream
from serving.batches import Parking
from serving.wire.chat import ChatRequest
from serving.wire.completion import Assembler, Chunk, Completion


class AuditLog(Protocol):
    """Keeps the request, the answer and the trace, which is in the call, in full. `completion` is
    None where no answer was given, and what had arrived where one broke off.
    """

    async def add(self, call: Call, request: ChatRequest, completion: Completion | None) -> None:
        """Returns once the record is safe."""
        ...


class Audited:
    """Records each request whose task is critical, failed and cancelled ones too. An answer is
    handed on after its record is safe: if it cannot be stored, the request fails. Of a stream, the
    usage chunk waits for the record. A request that is parked is recorded at its end.
    """

    def __init__(self, inner: Backend, *, tasks: Tasks, log: AuditLog) -> None:
        self._inner = inner
        self._tasks = tasks
        self._log = log

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        if not self._tasks(call.task).critical:
            return await self._inner.complete(request, call)
        completion: Completion | None = None
        parked = False
        try:
            completion = await self._inner.complete(request, call)
        except Parking:
            parked = True
            raise
        finally:
            if not parked:
                await self._record(call, request, completion)
        return completion

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        if not self._tasks(call.task).critical:
            return self._inner.stream(request, call)
        return self._recorded(request, call)

    async def _recorded(self, request: ChatRequest, call: Call) -> ChunkStream:
        assembler = Assembler()
        begun = False
        usage: Chunk | None = None
        try:
            async with aclosing(self._inner.stream(request, call)) as chunks:
                async for chunk in chunks:
                    begun = True
                    assembler.add(chunk)
                    if chunk.usage is None:
                        yield chunk
                    else:
                        usage = chunk
        finally:
            await self._record(call, request, assembler.completion() if begun else None)
        if usage is not None:
            yield usage

    async def _record(
        self, call: Call, request: ChatRequest, completion: Completion | None
    ) -> None:
        """Cancelling the request does not cancel its record."""
        await asyncio.shield(self._log.add(call, request, completion))
