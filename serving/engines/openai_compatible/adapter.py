"""Any OpenAI-compatible server (vLLM, llama.cpp, OpenAI itself) as a backend.

Requests leave through the `openai` SDK without its retries and without its reading of the
environment: key, URL and deadline come from the tier's settings alone. Answers come in as plain
JSON, so that fields unknown to the SDK survive and what does not parse is noticed.
"""

import asyncio
from contextlib import AbstractContextManager

from openai import AsyncStream

from serving.backend import Ability, Call, ChunkStream
from serving.engines.openai_compatible import convert
from serving.engines.openai_compatible.body import request_body
from serving.engines.openai_compatible.client import client, engine_of
from serving.engines.openai_compatible.errors import translated
from serving.engines.openai_compatible.pieces import Pieces
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from serving.wire.render import dumps

PATH = "/chat/completions"

_TOOL_PARAMS = ("tools", "tool_choice", "parallel_tool_calls")


def openai_ability(tier: TierSettings) -> Ability:
    """What the tier's settings say; its flags add the parameters that belong to them."""
    engine = engine_of(tier)
    params = None
    if engine.params is not None:
        params = frozenset(engine.params)
        params |= frozenset(_TOOL_PARAMS if engine.tools else ())
        params |= frozenset(("response_format",) if engine.json_schema else ())
        params |= frozenset(("reasoning_effort",) if tier.effort is not None else ())
    return Ability(
        params=params,
        tools=engine.tools,
        images=engine.images,
        json_schema=engine.json_schema,
        logprobs=engine.logprobs,
        multiple_choices=engine.multiple_choices,
        context_tokens=tier.context_tokens,
    )


class OpenAICompatible:
    """A Backend. Raises `TierError` as `errors` lists; `ConfigError` on construction where a key
    is configured and not there.
    """

    def __init__(self, tier: TierSettings) -> None:
        self._tier = tier
        self._engine = engine_of(tier)
        self._client = client(tier)

    async def aclose(self) -> None:
        """Closes the connections; the backend is of no use afterwards."""
        await self._client.sdk.close()

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        body = request_body(request, self._tier.model, self._engine, stream=False)
        with self._translated():
            async with asyncio.timeout_at(self._limit(call)):
                data = await self._client.sdk.post(
                    PATH, cast_to=object, content=dumps(body), options=self._client.options()
                )
            return convert.completion(self._tier.name, self._tier.model, data, request)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        body = request_body(request, self._tier.model, self._engine, stream=True)
        pieces = Pieces(self._tier.name, self._tier.model, request)
        limit = self._limit(call)
        with self._translated():
            async with asyncio.timeout_at(limit):
                events = await self._client.sdk.post(
                    PATH,
                    cast_to=object,
                    content=dumps(body),
                    options=self._client.options(),
                    stream=True,
                    stream_cls=AsyncStream[object],
                )
        try:
            while True:
                with self._translated(began=True):
                    async with asyncio.timeout_at(limit):
                        data = await anext(events, _END)
                    chunks = [] if data is _END else [*pieces.read(data)]
                for chunk in chunks:
                    yield chunk
                if data is _END:
                    break
        finally:
            await events.close()
        for chunk in pieces.end():
            yield chunk

    def _translated(self, *, began: bool = False) -> AbstractContextManager[None]:
        return translated(self._tier.name, began=began, scrub=self._client.scrub)

    def _limit(self, call: Call) -> float:
        """The attempt's deadline in the running loop's time."""
        left = min(call.remaining, self._tier.deadline_s)
        return asyncio.get_running_loop().time() + left


_END = object()
