"""An engine's first requests compile and allocate, which can take seconds: they are its own."""

import time

from serving.backend import Backend, Call, new_id
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest

WARM_UP_S = 300.0
TENANT = "stepwell:warm-up"

SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
REQUESTS = (
    {"logprobs": True},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "ok", "schema": SCHEMA}}},
)


async def warm_up(backend: Backend, tier: TierSettings) -> None:
    """Answers one plain request and one with a schema, and drops the answers. Raises what the
    engine raises: a replica that cannot answer these is not ready.
    """
    for extra in REQUESTS:
        request = ChatRequest.model_validate(
            {
                "model": tier.model,
                "messages": [{"role": "user", "content": "Is this thing on?"}],
                "max_completion_tokens": 8,
                **extra,
            }
        )
        await backend.complete(request, Call(new_id(), TENANT, time.monotonic() + WARM_UP_S))
