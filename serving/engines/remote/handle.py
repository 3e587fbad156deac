"""A tier behind a Ray Serve handle, as a Backend."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from serving.backend import Call, ChunkStream
from serving.engines.remote.replicas import running_replicas
from serving.engines.remote.wire import Batch, Ended, pack
from serving.errors import StepwellError, TierProtocolError, TierQueueFull, TierUnavailable
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

BUCKETS = 256
PREFIX_CHARS = 2_000
RETRY_AFTER_S = 1.0


class Handle(Protocol):
    """What is used of `ray.serve.handle.DeploymentHandle`."""

    def options(self, **options: Any) -> "Handle": ...

    def remote(self, *args: Any) -> Any: ...


class HandleBackend:
    """Asks `tier` of the deployment behind `handle`. With `sticky`, calls of one bucket meet one
    replica (the deployment must route by session), so that what belongs together is together.

    Without a running replica calls fail at once, so that another tier can answer; those of a tier
    that `sleeps` when it is idle wait for it to wake up.
    """

    def __init__(
        self, handle: Handle, tier: str, *, sticky: "Sticky | None" = None, sleeps: bool = False
    ) -> None:
        plain = {"_by_reference": False, **PICKLED}
        self._complete = handle.options(method_name="complete", **plain)
        self._stream = handle.options(method_name="stream", stream=True, **plain)
        self._tier = tier
        self._sticky = sticky
        self._sleeps = sleeps
        self._started = False
        self._buckets: dict[tuple[int, bool], Handle] = {}

    @property
    def started(self) -> bool:
        """Whether a replica has ever been there, or none needs to be."""
        self._started = self._started or self._sleeps or running_replicas(self._complete) != 0
        return self._started

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        self._check()
        asked = pack(request, call)
        response = self._handle(request, call, stream=False).remote(self._tier, asked)
        try:
            reply = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except Exception as error:
            raise translated(error, self._tier) from error
        reply.notes.add_to(call.trace)
        if isinstance(reply, Ended):
            raise reply.error or TierProtocolError(f"{self._tier} gave no answer")
        completion: Completion = reply.completion
        return completion

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        self._check()
        handle = self._handle(request, call, stream=True)
        batches = handle.remote(self._tier, pack(request, call))
        ended: Ended | None = None
        try:
            while ended is None:
                batch = await self._next(batches)
                if isinstance(batch, Ended):
                    ended = batch
                    break
                for chunk in batch:
                    yield chunk
        finally:
            if ended is None:
                batches.cancel()
        ended.notes.add_to(call.trace)
        if ended.error is not None:
            raise ended.error

    def _check(self) -> None:
        if not self._sleeps and running_replicas(self._complete) == 0:
            raise TierUnavailable(f"tier {self._tier}: no replica of it is running")

    async def _next(self, batches: AsyncIterator[Batch]) -> Batch:
        try:
            return await anext(batches)
        except StopAsyncIteration:
            raise TierProtocolError(f"tier {self._tier}: its stream broke off") from None
        except Exception as error:
            raise translated(error, self._tier) from error

    def _handle(self, request: ChatRequest, call: Call, *, stream: bool) -> Handle:
        handle = self._stream if stream else self._complete
        if self._sticky is None:
            return handle
        bucket = self._sticky(request, call)
        found = self._buckets.get((bucket, stream))
        if found is None:
            found = handle.options(session_id=f"{bucket}")
            self._buckets[bucket, stream] = found
        return found


Sticky = Callable[[ChatRequest, Call], int]
"""A request's bucket, one of `BUCKETS`."""

PICKLED = {"request_serialization": "pickle", "response_serialization": "pickle"}


def prefix_bucket(request: ChatRequest, call: Call) -> int:
    """By tenant and the beginning of the prompt: its tools' names and its first message, which is
    the system prompt where there is one. What shares a prefix is in one bucket.
    """
    return _bucket(f"{call.tenant}\0{_tools(request)}\0{request.messages[0].text[:PREFIX_CHARS]}")


def conversation_bucket(request: ChatRequest, call: Call) -> int:
    """By tenant and what opens the conversation, up to the first message of the user: its turns are
    in one bucket, and those of many conversations under one system prompt in all of them.
    """
    opening = next((m.text for m in request.messages if m.role == "user"), "")
    return _bucket(f"{call.tenant}\0{request.messages[0].text[:PREFIX_CHARS]}\0{opening}")


def _tools(request: ChatRequest) -> str:
    return ",".join(sorted(t.function.name for t in request.tools or () if t.function is not None))


def _bucket(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % BUCKETS


def translated(error: Exception, tier: str) -> StepwellError:
    """What Ray raised, in our tree: a full queue, or a replica that is gone."""
    if isinstance(error, StepwellError):
        return error
    if type(error).__name__ == "BackPressureError":
        return TierQueueFull(f"tier {tier}: its queue is full", retry_after=RETRY_AFTER_S)
    return TierUnavailable(f"tier {tier}: its replica failed ({type(error).__name__})")
