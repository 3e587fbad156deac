"""The mock's tokens of a text or chat, as `/tokenize` shows them: as many as the mock counts."""

import asyncio
import zlib
from collections.abc import Iterator

from serving.backend import Call
from serving.engines.mock.tokenizer import tokens
from serving.errors import TierRejected
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest, Message
from serving.wire.render import dumps
from serving.wire.tokenize import DetokenizeRequest, Tokenized, TokenizeRequest

LONG_CHARS = 20_000


class MockTokenizer:
    """A Tokenizer without a vocabulary: an id is a checksum of its token, so it tells tokens apart
    and can't be turned back into one.
    """

    def __init__(self, tier: TierSettings) -> None:
        self._tier = tier

    async def tokenize(self, request: TokenizeRequest, call: Call) -> Tokenized:  # noqa: ARG002 - the protocol's
        if request.prompt is not None and len(request.prompt) <= LONG_CHARS:
            return self._tokenized(request)
        return await asyncio.to_thread(self._tokenized, request)

    async def detokenize(self, request: DetokenizeRequest, call: Call) -> str:  # noqa: ARG002 - the protocol's
        raise TierRejected(f"{self._tier.name}: a mock has no vocabulary", param="model")

    def _tokenized(self, request: TokenizeRequest) -> Tokenized:
        if request.prompt is not None:
            texts = tokens(request.prompt)
        else:
            texts = list(of_chat(request.chat))
        return Tokenized(
            tokens=tuple(zlib.crc32(t.encode("utf-8", "surrogatepass")) >> 1 for t in texts),
            max_model_len=self._tier.context_tokens,
            token_strs=tuple(texts) if request.return_token_strs else None,
            simulated=True,
        )


def of_chat(request: ChatRequest) -> Iterator[str]:
    """As many tokens as `prompt_tokens` counts: each message in four marks, and three for the
    answer's beginning.
    """
    for message in request.messages:
        yield from ("<|start|>", message.role, "<|message|>")
        yield from tokens(message.text)
        yield from _of_calls(message)
        yield "<|end|>"
    for tool in request.tools or ():
        yield from tokens(dumps(tool.model_dump(mode="json", exclude_unset=True)).decode())
    yield from ("<|start|>", "assistant", "<|message|>")


def _of_calls(message: Message) -> Iterator[str]:
    for call in message.tool_calls or ():
        if call.function is not None:
            yield from tokens(call.function.name)
            yield from tokens(call.function.arguments)
