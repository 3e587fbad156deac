"""Around every embedder: what it can honour, what is too large for it, and a second try."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from serving.backend import Call, Embedder
from serving.errors import InvalidRequest, TierError, TierProtocolError
from serving.settings.tiers import TierSettings
from serving.wire.embeddings import BYTES_PER_VALUE, EmbeddingRequest, Embeddings, numbers

MAX_BYTES_PER_TOKEN = 32
"""No tokenizer writes text that has any sense in longer tokens on average: what exceeds it is too
long for certain, and need not reach a tokenizer to be refused.
"""

BACKOFF_S = 0.1
MAX_WAIT_S = 2.0
MIN_CALL_S = 0.05

_HONOURED_HERE = frozenset({"user"})


@dataclass(frozen=True, slots=True)
class EmbedderAbility:
    """What an embedder can honour: `params` beyond the input, None for all of them, unknown ones
    included; `dimensions` other than its own; `tokens` instead of texts.
    """

    params: frozenset[str] | None = None
    dimensions: bool = True
    tokens: bool = True


class FittedEmbedder:
    """An Embedder whose `inner` sees requests that it can honour: what would change what was asked
    is refused with `InvalidRequest`, other parameters are dropped and named in the call's trace, or
    refused where the configuration says so. A transport fault is tried again as often as the
    settings allow, each time as a call of its own.
    """

    def __init__(self, inner: Embedder, *, tier: TierSettings, ability: EmbedderAbility) -> None:
        self._inner = inner
        self._tier = tier
        self._ability = ability

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        fitted = self._fit(request, call)
        call.trace.note("embed", self._tier.name, f"inputs: {len(request.inputs)}")
        return await self._tried(fitted, call)

    def _fit(self, request: EmbeddingRequest, call: Call) -> EmbeddingRequest:
        tier, ability = self._tier, self._ability
        check_lengths(request, tier)
        for param, asked, able in (
            ("dimensions", request.dimensions is not None, ability.dimensions),
            ("input", request.tokenised, ability.tokens),
        ):
            if asked and not able:
                what = "token ids" if param == "input" else param
                raise InvalidRequest(
                    f"embedder {tier.name!r} does not support {what}",
                    param=param,
                    code="unsupported_parameter",
                )
        known = ability.params
        unfit = [] if known is None else sorted(request.params.keys() - known)
        dropped = tuple(name for name in unfit if name not in _HONOURED_HERE)
        if dropped and tier.on_unsupported == "refuse":
            raise InvalidRequest(
                f"embedder {tier.name!r} does not support {', '.join(dropped)}",
                param=dropped[0],
                code="unsupported_parameter",
            )
        call.trace.drop(dropped)
        return replace(request, params={k: v for k, v in request.params.items() if k not in unfit})

    async def _tried(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        failures = 0
        while True:
            try:
                return await self._inner.embed(request, call)
            except TierError as error:
                failures += 1
                wait = max(error.retry_after or 0.0, BACKOFF_S * 2 ** (failures - 1))
                late = call.remaining - wait < MIN_CALL_S
                if (
                    not error.retryable
                    or failures > self._tier.retries
                    or wait > MAX_WAIT_S
                    or late
                ):
                    raise
                call.trace.note("retry", self._tier.name, error.message)
            await asyncio.sleep(wait)


def check_lengths(request: EmbeddingRequest, tier: TierSettings) -> None:
    """`InvalidRequest` for an input that is certain to exceed the model's context."""
    for index, one in enumerate(request.inputs):
        if isinstance(one, str):
            check_length(one, f"input {index}", "input", tier)
        elif len(one) > tier.context_tokens:
            raise _too_long(f"input {index} has {len(one)} tokens", "input", tier)


def check_length(text: str, what: str, param: str, tier: TierSettings) -> None:
    """`InvalidRequest` for a text that is certain to exceed the model's context."""
    most = tier.context_tokens * MAX_BYTES_PER_TOKEN
    if len(text) * 4 > most and len(text.encode("utf-8", "surrogatepass")) > most:
        raise _too_long(f"{what} is larger than {most} bytes", param, tier)


def _too_long(fault: str, param: str, tier: TierSettings) -> InvalidRequest:
    return InvalidRequest(
        f"{tier.name!r} takes {tier.context_tokens} tokens at once, and {fault}",
        param=param,
        code="context_length_exceeded",
    )


def checked(tier: str, vectors: Sequence[bytes], expected: int) -> tuple[bytes, ...]:
    """The vectors as they came; `TierProtocolError` unless there is one for each input, all of one
    length and of finite numbers. Takes a microsecond per hundred numbers.
    """
    if len(vectors) != expected:
        raise TierProtocolError(f"{tier}: {len(vectors)} vectors for {expected} inputs")
    lengths = set(map(len, vectors))
    if len(lengths) != 1 or not (length := lengths.pop()) or length % BYTES_PER_VALUE:
        raise TierProtocolError(f"{tier}: its vectors differ in length, or have none")
    if not all(math.isfinite(sum(numbers(v))) for v in vectors):
        raise TierProtocolError(f"{tier}: a vector holds a number that is not finite")
    return tuple(vectors)
