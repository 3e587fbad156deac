"""Any OpenAI-compatible server's `/v1/embeddings` as an Embedder.

Vectors are asked for in base64, which is a fraction of the work for both sides; a server that knows
only lists of numbers may answer with those.
"""

import asyncio

import orjson

from serving.backend import Call
from serving.engines.embedding import EmbedderAbility
from serving.engines.embedding_reply import read_embeddings
from serving.engines.openai_compatible.client import client, engine_of
from serving.engines.openai_compatible.errors import of_body, translated
from serving.settings.tiers import TierSettings
from serving.wire.embeddings import EmbeddingRequest, Embeddings
from serving.wire.render import dumps

PATH = "/embeddings"
LARGE_BYTES = 262_144
"""Larger answers are read in a thread."""


def openai_embedder_ability(tier: TierSettings) -> EmbedderAbility:
    """As the settings' `params` say; the server itself refuses token ids where it must."""
    params = engine_of(tier).params
    if params is None:
        return EmbedderAbility()
    return EmbedderAbility(frozenset(params) - {"dimensions"}, dimensions="dimensions" in params)


class OpenAIEmbedder:
    """Raises `TierError` as `errors` lists; `ConfigError` on construction where a key is configured
    and not there.
    """

    def __init__(self, tier: TierSettings) -> None:
        self._tier = tier
        self._client = client(tier)

    async def aclose(self) -> None:
        """Closes the connections; the embedder is of no use afterwards."""
        await self._client.sdk.close()

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        tier = self._tier
        body = {
            **request.params,
            "model": tier.model,
            "input": request.inputs,
            "encoding_format": "base64",
        }
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        with translated(tier.name, scrub=self._client.scrub):
            async with asyncio.timeout(min(call.remaining, tier.deadline_s)):
                data = await self._client.sdk.post(
                    PATH, cast_to=bytes, content=dumps(body), options=self._client.options()
                )
            if len(data) > LARGE_BYTES:
                return await asyncio.to_thread(_read, tier, data, len(request.inputs))
            return _read(tier, data, len(request.inputs))


def _read(tier: TierSettings, data: bytes, expected: int) -> Embeddings:
    """A server may report an error in a 200."""
    if b'"error"' in data[:LARGE_BYTES]:
        value = orjson.loads(data)
        if isinstance(value, dict) and value.get("error") and not value.get("data"):
            raise of_body(tier.name, value["error"])
    return read_embeddings(tier, data, expected)
