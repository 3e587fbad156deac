"""A tier behind a Ray Serve handle, as a Backend."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

from serving.backend import Call, ChunkStream
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
    """Asks `tier` of the deployment behind `handle`. With `sticky`, calls go to its replicas by a
    hash of tenant and prompt prefix (the deployment must route by session), so that what belongs
    together meets one replica.
    """

    def __init__(self, handle: Handle, tier: str, *, sticky: bool = False) -> None:
        plain = {"_by_reference": False, **PICKLED}
        self._complete = handle.options(method_name="complete", **plain)
        self._stream = handle.options(method_name="stream", stream=True, **plain)
        self._tier = tier
        self._sticky = sticky
        self._buckets: dict[tuple[int, bool], Handle] = {}

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
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

    async def _next(self, batches: AsyncIterator[Batch]) -> Batch:
        try:
            return await anext(batches)
        except StopAsyncIteration:
            raise TierProtocolError(f"tier {self._tier}: its stream broke off") from None
        except Exception as error:
            raise translated(error, self._tier) from error

    def _handle(self, request: ChatRequest, call: Call, *, stream: bool) -> Handle:
        handle = self._stream if stream else self._complete
        if not self._sticky:
            return handle
        bucket = prefix_bucket(request, call)
        found = self._buckets.get((bucket, stream))
        if found is None:
            found = handle.options(session_id=f"{bucket}")
            self._buckets[bucket, stream] = found
        return found


PICKLED = {"request_serialization": "pickle", "response_serialization": "pickle"}


def prefix_bucket(request: ChatRequest, call: Call) -> int:
    """One of `BUCKETS`, by tenant and the beginning of the prompt: its tools' names and its first
    message, which is the system prompt where there is one.
    """
    tools = ",".join(t.function.name for t in request.tools or () if t.function is not None)
    prefix = f"{call.tenant}\0{tools}\0{request.messages[0].text[:PREFIX_CHARS]}"
    return zlib.crc32(prefix.encode("utf-8", "surrogatepass")) % BUCKETS


def translated(error: Exception, tier: str) -> StepwellError:
    """What Ray raised, in our tree: a full queue, or a replica that is gone."""
    if isinstance(error, StepwellError):
        return error
    if type(error).__name__ == "BackPressureError":
        return TierQueueFull(f"tier {tier}: its queue is full", retry_after=RETRY_AFTER_S)
    return TierUnavailable(f"tier {tier}: its replica failed ({type(error).__name__})")
