"""The mock as an embedder: hashed n-grams, so that equal texts have equal vectors and similar texts
near ones. It knows nothing of meaning.

A text, its case and white space made even, is the multiset of its character trigrams; each adds the
square root of its count, with the sign and at the place that a hash of it says (Weinberger and
others, "Feature Hashing for Large Scale Multitask Learning", 2009). The sum is scaled to length 1.
Token arrays count their ids and pairs of neighbours instead. `docs/mock.md` has the details.
"""

import asyncio
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise

from serving.backend import Call
from serving.engines.mock import faults
from serving.engines.mock.draws import Draws, derive
from serving.engines.mock.engine import Clock
from serving.engines.mock.tokenizer import count
from serving.errors import TierRejected, TierUnavailable
from serving.settings.tiers import MockEngine, TierSettings
from serving.wire.completion import Usage
from serving.wire.embeddings import EmbeddingRequest, Embeddings, vector

NGRAM = 3
LONG_CHARS = 4_000
"""Longer inputs together are worked off in a thread."""

_MIX = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio, as in Fibonacci hashing


class MockEmbedder:
    """An Embedder. It takes `ttft_ms` for a request of any size, within its jitter; of the faults
    it has `error` and `hang`.
    """

    def __init__(self, tier: TierSettings, engine: MockEngine) -> None:
        self._tier = tier
        self._engine = engine

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        tier, engine = self._tier, self._engine
        clock = Clock(tier, engine, call)
        await asyncio.sleep(0)  # lets others run, as a real call would
        key = _key(request, engine.seed)
        fault = faults.drawn(engine.faults, Draws(derive(key, "fault", tier.name)))
        if fault == "hang":
            await clock.hang()
        luck = Draws(derive(key, "latency", tier.name)).uniform()
        await clock.wait(engine.ttft_ms / 1_000 * (1 + engine.jitter * (2 * luck - 1)))
        if fault == "error":
            raise TierUnavailable(f"{tier.name}: simulated outage (fault error)")
        if sum(map(len, request.inputs)) > LONG_CHARS:
            return await asyncio.to_thread(self._embedded, request)
        return self._embedded(request)

    def _embedded(self, request: EmbeddingRequest) -> Embeddings:
        tier = self._tier
        size = request.dimensions or self._engine.dimensions
        if size > self._engine.dimensions:
            raise TierRejected(
                f"{tier.name}: its vectors have {self._engine.dimensions} dimensions at most",
                param="dimensions",
            )
        lengths = [count(i) if isinstance(i, str) else len(i) for i in request.inputs]
        for index, length in enumerate(lengths):
            if length > tier.context_tokens:
                raise TierRejected(
                    f"{tier.name}: input {index} has {length} tokens, {tier.context_tokens} fit",
                    param="input",
                    code="context_length_exceeded",
                )
        vectors = tuple(embedded(of, size) for of in request.inputs)
        return Embeddings(tier.model, vectors, Usage(prompt_tokens=sum(lengths)))


def embedded(of: str | Sequence[int], dimensions: int) -> bytes:
    """The vector of a text or of a token array, of length 1."""
    features = Counter(_text_features(of) if isinstance(of, str) else _id_features(of))
    sums = [0.0] * dimensions
    for feature, times in features.items():
        mixed = zlib.crc32(feature.encode("utf-8", "surrogatepass")) * _MIX & (2**64 - 1)
        sign = 1 if mixed & 2**63 else -1
        sums[(mixed >> 24) % dimensions] += sign * math.sqrt(times)
    length = math.hypot(*sums)
    if not length:  # all of them cancelled each other out
        sums[0] = length = 1.0
    return vector(s / length for s in sums)


def _text_features(text: str) -> Iterable[str]:
    even = f" {' '.join(text.casefold().split())} "
    return (even[i : i + NGRAM] for i in range(max(1, len(even) - NGRAM + 1)))


def _id_features(ids: Sequence[int]) -> Iterable[str]:
    yield from map(str, ids)
    for left, right in pairwise(ids):
        yield f"{left},{right}"


def _key(request: EmbeddingRequest, seed: int) -> bytes:
    """Of the inputs alone, so that the same request meets the same luck."""
    found = blake2b(str(seed).encode(), digest_size=16)
    for one in request.inputs:
        text = one if isinstance(one, str) else ",".join(map(str, one))
        found.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return found.digest()
