"""Between this package's embedders and those that `/v1/embeddings` knows, in both directions."""

import time
from collections.abc import Sequence

from cache.embedder.base import Encoded, TextEmbedder, Vectors
from serving.backend import OWN_TENANT, Call, Embedder, new_id
from serving.errors import InvalidRequest, TierProtocolError
from serving.wire.completion import Usage
from serving.wire.embeddings import EmbeddingRequest, Embeddings

MAX_BATCH = 256
MAX_CHARS = 8_192
"""More than the questions that a cache answers have, and less than any hosted model reads."""


class Served:
    """A `TextEmbedder` as an `Embedder`: what answers `/v1/embeddings` with the cache's vectors.
    Token ids, other dimensions than the model's own, and texts that are longer than it reads it
    cannot honour: `InvalidRequest`.
    """

    def __init__(self, inner: TextEmbedder) -> None:
        self._inner = inner

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:  # noqa: ARG002
        texts = [one for one in request.inputs if isinstance(one, str)]
        if len(texts) != len(request.inputs):
            raise InvalidRequest("this embedder takes texts, no token ids", param="input")
        made = await self._inner.encode(texts)
        for row in sorted(made.cut):
            raise InvalidRequest(
                f"input {row} is too long: this embedder reads {made.tokens[row]} tokens",
                param="input",
                code="context_length_exceeded",
            )
        own = made.vectors.shape[1]
        if request.dimensions not in (None, own):
            raise InvalidRequest(f"this embedder has {own} dimensions", param="dimensions")
        rows = made.vectors.astype("<f4")
        vectors = tuple(row.tobytes() for row in rows)
        return Embeddings(self._inner.name, vectors, Usage(prompt_tokens=sum(made.tokens)))


class Remote:
    """An `Embedder`, such as one on an OpenAI-compatible server, as a `TextEmbedder`. Its calls are
    the cache's own, billed to no tenant's key, and raise `TierError` where it fails.
    """

    def __init__(
        self,
        inner: Embedder,
        *,
        name: str,
        timeout_s: float,
        max_batch: int = MAX_BATCH,
        max_chars: int = MAX_CHARS,
    ) -> None:
        """`max_batch`: the inputs of one call. A text of more than `max_chars` is cut there."""
        self.name = name
        self._inner = inner
        self._timeout_s = timeout_s
        self._max_batch = max_batch
        self._max_chars = max_chars

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return (await self.encode(texts)).vectors

    async def encode(self, texts: Sequence[str]) -> Encoded:
        """All in time, or none: `timeout_s` is for all calls together. `tokens` shares out what the
        server counted for the texts of one call. Without texts nobody is asked, and the vectors
        have no dimensions.
        """
        import numpy as np  # noqa: PLC0415

        deadline = time.monotonic() + self._timeout_s
        if not texts:
            return Encoded(np.empty((0, 0), np.float32), ())
        starts = range(0, len(texts), self._max_batch)
        parts = [await self._call(texts[s : s + self._max_batch], deadline) for s in starts]
        if len({part.vectors.shape[1] for part in parts}) != 1:
            raise TierProtocolError(f"{self.name}: its vectors differ in length")
        cut = (n for n, text in enumerate(texts) if len(text) > self._max_chars)
        return Encoded(
            np.concatenate([part.vectors for part in parts]),
            tuple(count for part in parts for count in part.tokens),
            frozenset(cut),
        )

    async def _call(self, texts: Sequence[str], deadline: float) -> Encoded:
        import numpy as np  # noqa: PLC0415

        call = Call(request_id=new_id(), tenant=OWN_TENANT, deadline=deadline)
        inputs = tuple(text[: self._max_chars] or " " for text in texts)
        made = await self._inner.embed(EmbeddingRequest(inputs), call)
        if len(made.vectors) != len(texts) or len(set(map(len, made.vectors))) != 1:
            raise TierProtocolError(f"{self.name}: not {len(texts)} vectors of one length")
        vectors = np.stack([np.frombuffer(v, "<f4") for v in made.vectors]).astype(np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
            raise TierProtocolError(f"{self.name}: a vector has no direction")
        each, rest = divmod(made.usage.prompt_tokens, len(texts))
        tokens = tuple(each + (n < rest) for n in range(len(texts)))
        return Encoded((vectors / lengths).astype(np.float32), tokens)
