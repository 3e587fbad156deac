"""The tokenizer of vLLM's engine in this process."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from serving.backend import Call
from serving.engines.vllm.body import to_vllm
from serving.engines.vllm.errors import of_exception, of_response
from serving.errors import TierTimeout
from serving.settings.tiers import TierSettings
from serving.wire.tokenize import DetokenizeRequest, Tokenized, TokenizeRequest


@dataclass(frozen=True, slots=True)
class RequestTypes:
    """vLLM's requests: for the tokens of a text, for those of a chat, and back to text."""

    text: Any
    chat: Any
    back: Any


class VllmTokenizer:
    """`serving` is vLLM's `ServingTokenization`."""

    def __init__(self, tier: TierSettings, serving: Any, types: RequestTypes) -> None:
        self._tier = tier
        self._serving = serving
        self._types = types

    async def tokenize(self, request: TokenizeRequest, call: Call) -> Tokenized:
        body = {**request.options(), "model": self._tier.model}
        if request.prompt is not None:
            kind = self._types.text
            body["prompt"] = request.prompt
        else:
            kind = self._types.chat
            chat = to_vllm(request.chat, call, self._tier, stream=False)
            body |= {name: chat[name] for name in ("messages", "tools") if chat.get(name)}
        found = await self._ask(self._serving.create_tokenize, kind, body, call)
        strings = found.token_strs
        return Tokenized(
            tokens=tuple(found.tokens),
            max_model_len=found.max_model_len,
            token_strs=None if strings is None else tuple(strings),
        )

    async def detokenize(self, request: DetokenizeRequest, call: Call) -> str:
        body = {"model": self._tier.model, "tokens": request.tokens}
        found = await self._ask(self._serving.create_detokenize, self._types.back, body, call)
        text: str = found.prompt
        return text

    async def _ask(
        self, ask: Callable[..., Awaitable[Any]], kind: Any, body: dict[str, Any], call: Call
    ) -> Any:
        name = self._tier.name
        try:
            async with asyncio.timeout(min(call.remaining, self._tier.deadline_s)):
                answer = await ask(kind.model_validate(body), None)
        except TimeoutError:
            raise TierTimeout(f"tier {name}: no answer before the deadline") from None
        except Exception as error:
            raise of_exception(error, name) from error
        if hasattr(answer, "error"):
            raise of_response(answer, name)
        return answer
