"""What is warm of a conversation's prompt at a tier, and what an attempt there is expected to cost.

Pure. The figures rank tiers and bill nothing, so they are floats.
"""

from dataclasses import dataclass, replace
from typing import Self

from serving.costs.price import Price, Rates
from serving.wire.completion import Usage

TTL_5M_S = 300.0
TTL_1H_S = 3_600.0
"""How long hosted prompt caches keep a prefix, counted from the start of the request that wrote or
read it. A tier that reports reads without writes keeps it for the shorter time, as far as we know.
"""


@dataclass(frozen=True, slots=True)
class Warmth:
    """What a tier reported of a conversation's last attempt there, which began at `at` (Unix
    seconds): `tokens` of its prompt were read from the tier's cache or written to it, the first
    `hour_tokens` of them for an hour (one-hour entries always stand before five-minute ones).
    """

    tokens: int = 0
    hour_tokens: int = 0
    at: float = 0.0

    def left(self, now: float) -> int:
        """Tokens that are still warm, by the clock."""
        age = now - self.at
        if age < TTL_5M_S:
            return self.tokens
        return self.hour_tokens if age < TTL_1H_S else 0

    def after(self, usage: Usage, at: float) -> "Warmth":
        """After an attempt that began at `at`. What it read lives on for its own time, what it did
        neither read nor write is gone; an attempt whose usage never came changes nothing.
        """
        if usage.estimated:
            return self
        written, hour = max(0, usage.cache_write_tokens), max(0, usage.cache_write_1h_tokens)
        read = max(0, usage.cached_tokens)
        return Warmth(read + written, min(self.hour_tokens, read) + min(hour, written), at)


COLD = Warmth()


@dataclass(frozen=True, slots=True)
class TokenRates:
    """USD per token."""

    prompt: float
    completion: float
    read: float
    write: float
    write_1h: float

    @classmethod
    def of(cls, rates: Rates) -> Self:
        return cls(
            prompt=float(rates.input),
            completion=float(rates.output),
            read=float(rates.cache_read),
            write=float(rates.cache_write),
            write_1h=float(rates.cache_write_1h),
        )

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Of an attempt of whose prompt nothing is cached."""
        return prompt_tokens * self.prompt + completion_tokens * self.completion

    def caching(self, warmth: Warmth) -> "TokenRates":
        """The same, where what is not warm will be written to the cache: for an hour if all that
        this tier wrote of the conversation was.
        """
        hourly = 0 < warmth.tokens == warmth.hour_tokens
        return replace(self, prompt=self.write_1h if hourly else self.write)


@dataclass(frozen=True, slots=True)
class TierRates:
    """The rates of one tier; a prompt of more than `above` tokens has the `long` ones."""

    base: TokenRates
    long: TokenRates
    above: float

    @classmethod
    def of(cls, price: Price) -> Self:
        base = TokenRates.of(price.rates)
        if price.long_context is None:
            return cls(base, base, float("inf"))
        return cls(base, TokenRates.of(price.long_context.rates), price.long_context.above)

    def at(self, prompt_tokens: int) -> TokenRates:
        return self.long if prompt_tokens > self.above else self.base


def warm_cost(
    rates: TokenRates,
    warmth: Warmth,
    *,
    warm_tokens: int,
    prompt_tokens: int,
    completion_tokens: int,
    caches: bool,
) -> float:
    """USD of an attempt of whose prompt `warm_tokens` are read from the tier's cache. `caches`: the
    conversation is being cached, so that the rest is written.
    """
    rest = rates.caching(warmth) if caches else rates
    return rest.cost(prompt_tokens - warm_tokens, completion_tokens) + warm_tokens * rates.read
