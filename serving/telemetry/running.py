"""How many calls a tier has in progress, where the tier is."""

from contextlib import aclosing

from prometheus_client import Gauge

from serving.backend import Backend, Call, ChunkStream, Embedder
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from serving.wire.embeddings import EmbeddingRequest, Embeddings


class Running:
    """A Backend that counts the calls and open streams of `inner` in `gauge`."""

    def __init__(self, inner: Backend, gauge: Gauge) -> None:
        self._inner = inner
        self._gauge = gauge

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        with self._gauge.track_inprogress():
            return await self._inner.complete(request, call)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        with self._gauge.track_inprogress():
            async with aclosing(self._inner.stream(request, call)) as chunks:
                async for chunk in chunks:
                    yield chunk


class RunningEmbedder:
    """An Embedder that counts the calls of `inner` in `gauge`."""

    def __init__(self, inner: Embedder, gauge: Gauge) -> None:
        self._inner = inner
        self._gauge = gauge

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        with self._gauge.track_inprogress():
            return await self._inner.embed(request, call)
