"""`/tokenize` and `/detokenize` of a server that has them as vLLM does, beside its `/v1`."""

import asyncio
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, Field, ValidationError

from serving.backend import Call
from serving.engines.openai_compatible.body import request_body
from serving.engines.openai_compatible.client import client, engine_of
from serving.engines.openai_compatible.errors import translated
from serving.errors import TierProtocolError
from serving.settings.tiers import TierSettings
from serving.wire.render import dumps
from serving.wire.tokenize import DetokenizeRequest, Tokenized, TokenizeRequest

R = TypeVar("R", bound=BaseModel)


class _Tokens(BaseModel):
    tokens: Annotated[list[int], Field(fail_fast=True)]
    max_model_len: int | None = None
    token_strs: Annotated[list[str], Field(fail_fast=True)] | None = None


class _Text(BaseModel):
    prompt: str


class OpenAITokenizer:
    """Errors as `OpenAICompatible`'s."""

    def __init__(self, tier: TierSettings) -> None:
        self._tier = tier
        self._client = client(tier)
        self._engine = engine_of(tier)
        self._root = self._engine.base_url.rstrip("/").removesuffix("/v1")

    async def aclose(self) -> None:
        """Closes the connections; the tokenizer is of no use afterwards."""
        await self._client.sdk.close()

    async def tokenize(self, request: TokenizeRequest, call: Call) -> Tokenized:
        body = request.options()
        if request.prompt is not None:
            body["prompt"] = request.prompt
        else:
            chat = request_body(request.chat, self._tier.model, self._engine, stream=False)
            body |= {name: chat[name] for name in ("messages", "tools") if chat.get(name)}
        reply = await self._ask("/tokenize", body, _Tokens, call)
        strings = reply.token_strs
        return Tokenized(
            tokens=tuple(reply.tokens),
            max_model_len=reply.max_model_len or self._tier.context_tokens,
            token_strs=None if strings is None else tuple(strings),
        )

    async def detokenize(self, request: DetokenizeRequest, call: Call) -> str:
        reply = await self._ask("/detokenize", {"tokens": request.tokens}, _Text, call)
        return reply.prompt

    async def _ask(self, path: str, body: dict[str, Any], kind: type[R], call: Call) -> R:
        name = self._tier.name
        body["model"] = self._tier.model
        with translated(name, scrub=self._client.scrub):
            async with asyncio.timeout(min(call.remaining, self._tier.deadline_s)):
                data = await self._client.sdk.post(
                    f"{self._root}{path}",
                    cast_to=bytes,
                    content=dumps(body),
                    options=self._client.options(),
                )
            try:
                return kind.model_validate(orjson.loads(data))
            except ValidationError:
                raise TierProtocolError(f"{name}: {path}: not an answer as vLLM gives it") from None
