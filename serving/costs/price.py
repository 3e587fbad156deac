"""What tokens cost: one price, normalised to Decimal USD per token."""

from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal

from serving.storage.types import to_pico
from serving.wire.completion import Usage

MTOK = Decimal(1_000_000)
SHOWN = Decimal("1e-6")


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per token. Every prompt token is billed at exactly one of the four input rates."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal

    def cost(self, usage: Usage) -> Decimal:
        """Unrounded. Counts that contradict each other (more cached than prompt tokens) are cut so
        that no token is billed twice and none below zero.
        """
        prompt = max(0, usage.prompt_tokens)
        read = min(max(0, usage.cached_tokens), prompt)
        written = min(max(0, usage.cache_write_tokens), prompt - read)
        written_1h = min(max(0, usage.cache_write_1h_tokens), written)
        return (
            self.input * (prompt - read - written)
            + self.cache_read * read
            + self.cache_write * (written - written_1h)
            + self.cache_write_1h * written_1h
            + self.output * max(0, usage.completion_tokens)
        )

    def scaled(self, factor: Decimal) -> "Rates":
        return Rates(*(getattr(self, f.name) * factor for f in fields(self)))


@dataclass(frozen=True, slots=True)
class LongContext:
    """Rates of a whole request whose prompt has more than `above` tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model at a date. `batch_factor` scales all rates of a batched request; None
    where no batch price is known. `source` says where the numbers come from.
    """

    rates: Rates
    source: str
    since: date | None = None
    long_context: LongContext | None = None
    batch_factor: Decimal | None = None

    def rates_for(self, prompt_tokens: int) -> Rates:
        """The rates of a request with so many prompt tokens in all, cached ones included."""
        long = self.long_context
        return long.rates if long is not None and prompt_tokens > long.above else self.rates

    def cost(self, usage: Usage, *, batch: bool = False) -> Decimal:
        """USD of one attempt, in whole picodollars: what is added up anywhere is this number.

        `ValueError` for a batch where no batch price is known.
        """
        return to_pico(self._served(self.rates_for(usage.prompt_tokens).cost(usage), batch=batch))

    def upper_bound(self, usage: Usage, *, batch: bool = False) -> Decimal:
        """The most that an attempt with these prompt and completion tokens can cost, however its
        prompt is split into cached, written and plain tokens. `batch` as for `cost`.
        """
        rates = self.rates_for(usage.prompt_tokens)
        dearest = max(rates.input, rates.cache_read, rates.cache_write, rates.cache_write_1h)
        prompt, completion = max(0, usage.prompt_tokens), max(0, usage.completion_tokens)
        return to_pico(self._served(dearest * prompt + rates.output * completion, batch=batch))

    def _served(self, live: Decimal, *, batch: bool) -> Decimal:
        if not batch:
            return live
        if self.batch_factor is None:
            raise ValueError(f"no batch price is known ({self.source})")
        return live * self.batch_factor

    def scaled(self, factor: Decimal) -> "Price":
        """All rates times `factor`."""
        long = self.long_context
        return Price(
            rates=self.rates.scaled(factor),
            source=self.source,
            since=self.since,
            long_context=long and LongContext(long.above, long.rates.scaled(factor)),
            batch_factor=self.batch_factor,
        )

    def describe(self) -> dict[str, str]:
        """USD per million tokens as decimal strings, for `/v1/models` and `stepwell check`."""
        shown = _per_mtok(self.rates)
        if self.long_context is not None:
            shown["long_context_above_tokens"] = str(self.long_context.above)
            long = _per_mtok(self.long_context.rates)
            shown |= {f"long_context_{name}": value for name, value in long.items()}
        if self.batch_factor is not None:
            shown["batch_factor"] = format(self.batch_factor.normalize(), "f")
        if self.since is not None:
            shown["since"] = self.since.isoformat()
        return shown | {"source": self.source}


def _per_mtok(rates: Rates) -> dict[str, str]:
    return {f.name: _plain(getattr(rates, f.name) * MTOK) for f in fields(rates)}


def _plain(usd: Decimal) -> str:
    return format(usd.quantize(SHOWN).normalize(), "f")
