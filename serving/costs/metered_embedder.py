"""Meters an embedder: one row of its own kind per call, with what it used and what it cost."""

import math
from dataclasses import replace

from serving.backend import Call, Embedder
from serving.costs.estimate import MARGIN, estimate_tokens
from serving.costs.ledger import Ledger
from serving.costs.meter import Meter
from serving.costs.price import Price
from serving.settings.tiers import TierSettings
from serving.wire.completion import Usage
from serving.wire.embeddings import EmbeddingRequest, Embeddings

SPECIAL_TOKENS = 4  # of an input at most, such as its begin and its end


class MeteredEmbedder:
    """An Embedder that records each call of `inner` in the ledger, and judges it: what comes back
    is accepted, what fails is `failed`, what is cut short `cancelled`. A hosted call is written
    before it leaves.
    """

    def __init__(
        self, inner: Embedder, *, tier: TierSettings, price: Price | None, ledger: Ledger
    ) -> None:
        self._inner = inner
        self._tier = tier
        self._price = price
        self._ledger = ledger

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        await self._ledger.admit()
        attempt = self._ledger.open(
            call,
            kind="embedding",
            tier=self._tier.name,
            model=self._tier.model,
            simulated=self._tier.simulated,
            settled=False,
        )
        meter = Meter(attempt, lambda _: most_used(request), price=self._price, ledger=self._ledger)
        with meter:
            if self._tier.hosted:
                meter.expect_the_most()
                await self._ledger.intent(attempt, call)
            meter.leaves()
            embeddings = await self._inner.embed(request, call)
            usage = meter.embedded(embeddings)
        attempt.judge("accepted", "embedded")
        return embeddings if usage is embeddings.usage else replace(embeddings, usage=usage)


def most_used(request: EmbeddingRequest) -> Usage:
    """The most that a call can have used when its embedder reported nothing."""
    special = SPECIAL_TOKENS * len(request.inputs)
    texts = [text for text in request.inputs if isinstance(text, str)]
    if texts:
        tokens = math.ceil(estimate_tokens("".join(texts)) * MARGIN)
    else:
        tokens = sum(map(len, request.inputs))
    return Usage(prompt_tokens=tokens + special, estimated=True)
