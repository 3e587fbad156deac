"""Whether anybody waits for an answer, so that lines of batches can step back."""

import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager

from serving.backend import Backend, Call, ChunkStream
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

CALM_S = 0.5
"""Between requests of steady traffic nobody may be waiting for a moment."""


class Traffic:
    """A Backend that notes what is asked of `inner` at interactive urgency, and changes nothing."""

    def __init__(self, inner: Backend, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._clock = clock
        self._running = 0
        self._calm_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer of this process, or did just now."""
        return self._running > 0 or self._clock() < self._calm_at

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        if call.urgency != "interactive":
            return await self._inner.complete(request, call)
        with self._noted():
            return await self._inner.complete(request, call)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        with self._noted():
            async with aclosing(self._inner.stream(request, call)) as chunks:
                async for chunk in chunks:
                    yield chunk

    @contextmanager
    def _noted(self) -> Iterator[None]:
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._calm_at = self._clock() + CALM_S
