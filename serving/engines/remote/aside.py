"""What a tier's process is asked beside chats: vectors and tokens. Its host there, and an Embedder
and a Tokenizer here.

A question and its answer are plain values that pickle; an error is a value, too.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.backend import Call, Embedder, Tokenizer
from serving.engines.remote.handle import PICKLED, Handle, translated
from serving.engines.remote.host import told
from serving.engines.remote.replicas import running_replicas
from serving.engines.remote.wire import Asked, Ended, Notes, asked_with, call_of, notes_of
from serving.errors import TierProtocolError, TierTimeout, TierUnavailable
from serving.wire.embeddings import EmbeddingRequest, Embeddings
from serving.wire.tokenize import DetokenizeRequest, Tokenized, TokenizeRequest

Question = EmbeddingRequest | TokenizeRequest | DetokenizeRequest

METHOD = "aside"
"""Of a replica: from a tier's name, a question and who asks it, to `AsideReply`."""


@dataclass(frozen=True, slots=True)
class Given:
    value: Embeddings | Tokenized | str
    notes: Notes


AsideReply = Given | Ended
"""`Ended` says why there is no answer."""


class AsideHost:
    """Answers for embedders and tokenizers by the names of their tiers."""

    def __init__(
        self, embedders: Mapping[str, Embedder], tokenizers: Mapping[str, Tokenizer]
    ) -> None:
        self._embedders = dict(embedders)
        self._tokenizers = dict(tokenizers)

    async def ask(self, tier: str, question: Question, asked: Asked) -> AsideReply:
        call = call_of(asked)
        try:
            return Given(await self._answer(tier, question, call), notes_of(call))
        except Exception as error:
            return Ended(notes_of(call), told(error, tier))

    async def _answer(
        self, tier: str, question: Question, call: Call
    ) -> Embeddings | Tokenized | str:
        match question:
            case EmbeddingRequest():
                return await self._embedders[tier].embed(question, call)
            case TokenizeRequest():
                return await self._tokenizers[tier].tokenize(question, call)
            case DetokenizeRequest():
                return await self._tokenizers[tier].detokenize(question, call)


class _Handled:
    """Asks the deployment behind a handle. Without a running replica that fails at once, unless the
    tier `sleeps` when it is idle: then a question waits for it to wake up.
    """

    def __init__(self, handle: Handle, tier: str, *, sleeps: bool = False) -> None:
        self._handle = handle.options(method_name=METHOD, _by_reference=False, **PICKLED)
        self._tier = tier
        self._sleeps = sleeps

    async def _ask(self, question: Question, call: Call) -> Any:
        """The answer's value. The time is watched here, too: a replica may let it wait for its
        turn, or be gone.
        """
        tier = self._tier
        if not self._sleeps and running_replicas(self._handle) == 0:
            raise TierUnavailable(f"tier {tier}: no replica of it is running")
        response = self._handle.remote(tier, question, asked_with(b"", call))
        try:
            async with asyncio.timeout(max(0.0, call.remaining)):
                reply = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except TimeoutError:
            response.cancel()
            raise TierTimeout(f"tier {tier}: no answer before the deadline") from None
        except Exception as error:
            raise translated(error, tier) from error
        reply.notes.add_to(call.trace)
        if isinstance(reply, Ended):
            raise reply.error or TierProtocolError(f"tier {tier} gave no answer")
        return reply.value


class HandleEmbedder(_Handled):
    """The embedder of that name."""

    _started = False

    @property
    def started(self) -> bool:
        """Whether a replica has ever been there, or none needs to be."""
        self._started = self._started or self._sleeps or running_replicas(self._handle) != 0
        return self._started

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        answer = await self._ask(request, call)
        assert isinstance(answer, Embeddings)
        return answer


class HandleTokenizer(_Handled):
    """The tokenizer of the tier or embedder of that name."""

    async def tokenize(self, request: TokenizeRequest, call: Call) -> Tokenized:
        answer = await self._ask(request, call)
        assert isinstance(answer, Tokenized)
        return answer

    async def detokenize(self, request: DetokenizeRequest, call: Call) -> str:
        answer = await self._ask(request, call)
        assert isinstance(answer, str)
        return answer
