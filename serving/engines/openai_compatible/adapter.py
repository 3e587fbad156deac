"""Any OpenAI-compatible server (vLLM, llama.cpp, OpenAI itself) as a backend.

Requests leave through the `openai` SDK without its retries and without its reading of the
environment: key, URL and deadline come from the tier's settings alone. Answers come in as plain
JSON, so that fields unknown to the SDK survive and what does not parse is noticed.
"""

import asyncio
from typing import Any

from openai import AsyncOpenAI, AsyncStream, Omit, Timeout

from serving.backend import Ability, Call, ChunkStream
from serving.engines.openai_compatible import convert
from serving.engines.openai_compatible.body import request_body
from serving.engines.openai_compatible.errors import translated
from serving.engines.openai_compatible.pieces import Pieces
from serving.errors import ConfigError
from serving.settings.secrets import read_secret
from serving.settings.tiers import OpenAIEngine, TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from serving.wire.render import dumps

CONNECT_TIMEOUT_S = 5.0
PATH = "/chat/completions"

_TOOL_PARAMS = ("tools", "tool_choice", "parallel_tool_calls")


def openai_ability(tier: TierSettings) -> Ability:
    """What the tier's settings say; its flags add the parameters that belong to them."""
    engine = _engine(tier)
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
        self._engine = _engine(tier)
        key = _key(tier.name, self._engine)
        # The SDK would send these from the environment, whatever server the tier names.
        self._headers: dict[str, str | Omit] = {
            "OpenAI-Organization": Omit(),
            "OpenAI-Project": Omit(),
        }
        if key is None:
            self._headers["Authorization"] = Omit()
        self._client = AsyncOpenAI(
            api_key=key or "unused",
            admin_api_key="",
            base_url=self._engine.base_url,
            max_retries=0,
            timeout=Timeout(None, connect=CONNECT_TIMEOUT_S),
        )

    async def aclose(self) -> None:
        """Closes the connections; the backend is of no use afterwards."""
        await self._client.close()

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        body = request_body(request, self._tier.model, self._engine, stream=False)
        with translated(self._tier.name):
            async with asyncio.timeout_at(self._limit(call)):
                data = await self._client.post(
                    PATH, cast_to=object, content=dumps(body), options=self._options()
                )
        return convert.completion(self._tier.name, self._tier.model, data, request)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        body = request_body(request, self._tier.model, self._engine, stream=True)
        pieces = Pieces(self._tier.name, self._tier.model, request)
        limit = self._limit(call)
        with translated(self._tier.name):
            async with asyncio.timeout_at(limit):
                events = await self._client.post(
                    PATH,
                    cast_to=object,
                    content=dumps(body),
                    options=self._options(),
                    stream=True,
                    stream_cls=AsyncStream[object],
                )
        try:
            while True:
                with translated(self._tier.name, began=True):
                    async with asyncio.timeout_at(limit):
                        data = await anext(events, _END)
                if data is _END:
                    break
                for chunk in pieces.read(data):
                    yield chunk
        finally:
            await events.close()
        for chunk in pieces.end():
            yield chunk

    def _options(self) -> Any:
        """Of one request. `security`: the SDK would else fall back on a key of the environment."""
        return {"headers": self._headers, "security": {"bearer_auth": True}}

    def _limit(self, call: Call) -> float:
        """The attempt's deadline in the running loop's time."""
        left = min(call.remaining, self._tier.deadline_s)
        return asyncio.get_running_loop().time() + left


_END = object()


def _engine(tier: TierSettings) -> OpenAIEngine:
    if not isinstance(tier.backend, OpenAIEngine):
        raise ConfigError(f"tiers.{tier.name}: the engine is {tier.backend.engine}, not openai")
    return tier.backend


def _key(tier: str, engine: OpenAIEngine) -> str | None:
    key = read_secret(engine.api_key_env, engine.api_key_file)
    if key is None and (engine.api_key_env or engine.api_key_file):
        source = engine.api_key_file or f"the environment variable {engine.api_key_env}"
        raise ConfigError(f"tiers.{tier}: no API key in {source}")
    return key
