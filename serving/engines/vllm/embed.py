"""vLLM's pooling engine in this process, as an Embedder."""

import asyncio
import time
from typing import Any

from serving.backend import Call, Embedder, new_id
from serving.engines.embedding import EmbedderAbility
from serving.engines.embedding_reply import read_embeddings
from serving.engines.vllm.body import INTERACTIVE, OFFLINE
from serving.engines.vllm.errors import of_exception, of_response
from serving.engines.vllm.warm_up import TENANT, WARM_UP_S
from serving.errors import TierRejected, TierTimeout
from serving.settings.tiers import TierSettings
from serving.wire.embeddings import EmbeddingRequest, Embeddings

PARAMS = frozenset(
    {"add_special_tokens", "truncate_prompt_tokens", "truncation_side", "use_activation", "user"}
)
"""What reaches vLLM. Left out on purpose: what one client could do to others (`priority`,
`cache_salt`), chat templates, and the forms of an answer, of which Stepwell knows one.
"""

ABILITY = EmbedderAbility(PARAMS)


class VllmEmbedder:
    """`serving` is vLLM's `ServingEmbedding`, `request_type` its request. Cancelling a call takes
    its inputs out of the engine.
    """

    def __init__(self, tier: TierSettings, serving: Any, request_type: Any) -> None:
        self._tier = tier
        self._serving = serving
        self._request_type = request_type

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        name = self._tier.name
        try:
            async with asyncio.timeout(min(call.remaining, self._tier.deadline_s)):
                asked = self._request_type.model_validate(to_vllm(request, call, self._tier))
                answer = await self._serving(asked)
        except TimeoutError:
            raise TierTimeout(f"tier {name}: no answer before the deadline") from None
        except Exception as error:
            raise _of_input(of_exception(error, name)) from error
        if hasattr(answer, "error"):
            raise _of_input(of_response(answer, name))
        return await asyncio.to_thread(
            read_embeddings, self._tier, answer.body, len(request.inputs)
        )


def to_vllm(request: EmbeddingRequest, call: Call, tier: TierSettings) -> dict[str, Any]:
    """A body for vLLM's embeddings endpoint. What one tenant's texts left in a prefix cache is
    found by that tenant alone.
    """
    return {
        **request.params,
        "model": tier.model,
        "input": list(request.inputs),
        "dimensions": request.dimensions,
        "encoding_format": "base64",
        "embed_dtype": "float32",
        "endianness": "little",
        "request_id": new_id(),
        "cache_salt": call.tenant,
        "priority": INTERACTIVE if call.urgency == "interactive" else OFFLINE,
    }


async def warm_up(embedder: Embedder, tier: TierSettings) -> None:
    """Embeds one text. Raises what the engine raises: a replica that cannot is not ready."""
    call = Call(new_id(), TENANT, time.monotonic() + min(WARM_UP_S, tier.deadline_s))
    await embedder.embed(EmbeddingRequest(("Is this thing on?",)), call)


def _of_input(error: Exception) -> Exception:
    """What vLLM says of a chat's messages is of the inputs here."""
    if isinstance(error, TierRejected) and error.code == "context_length_exceeded":
        error.param = "input"
    return error
