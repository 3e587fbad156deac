"""vLLM's engine in this process, as a Backend."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from serving.backend import Call
from serving.engines.vllm.body import to_vllm
from serving.engines.vllm.convert import to_completion
from serving.engines.vllm.errors import of_exception, of_response
from serving.engines.vllm.stream import ChunkSource
from serving.errors import TierTimeout
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion


class VllmBackend:
    """`chat` is vLLM's `OpenAIServingChat`, `request_type` its request. Streams come as chunks from
    then on, for all who ask `chat`. Cancelling a call frees its place in the engine.
    """

    def __init__(self, tier: TierSettings, chat: Any, request_type: Any) -> None:
        self._tier = tier
        self._chat = chat
        self._request_type = request_type
        chat.chat_completion_stream_generator = ChunkSource(chat, tier.name)

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        try:
            async with asyncio.timeout(self._left(call)):
                return to_completion(await self._ask(request, call, stream=False))
        except TimeoutError:
            raise TierTimeout(f"tier {self._tier.name}: no answer before the deadline") from None
        except Exception as error:
            raise of_exception(error, self._tier.name) from error

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[Chunk, None]:
        until = asyncio.get_running_loop().time() + self._left(call)
        try:
            async with asyncio.timeout_at(until):
                source = await self._ask(request, call, stream=True)
            async with aclosing(source) as chunks:
                while True:
                    async with asyncio.timeout_at(until):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    yield chunk
        except TimeoutError:
            raise TierTimeout(f"tier {self._tier.name}: no answer before the deadline") from None
        except Exception as error:
            raise of_exception(error, self._tier.name) from error

    async def _ask(self, request: ChatRequest, call: Call, *, stream: bool) -> Any:
        """vLLM's response, or its open stream of chunks."""
        body = to_vllm(request, call, self._tier, stream=stream)
        answer = await self._chat.create_chat_completion(self._request_type.model_validate(body))
        if hasattr(answer, "error"):
            raise of_response(answer, self._tier.name)
        return answer

    def _left(self, call: Call) -> float:
        """Seconds of this attempt; `TierTimeout` where there are none."""
        left = min(call.remaining, self._tier.deadline_s)
        if left <= 0:
            raise TierTimeout(f"tier {self._tier.name}: no time left for an attempt")
        return left
