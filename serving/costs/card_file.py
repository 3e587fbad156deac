"""The rate card's file format: dated prices per million tokens, as providers publish them."""

import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from serving.costs.price import MTOK, LongContext, Price, Rates
from serving.settings.base import Frozen, Usd

Factor = Annotated[Decimal, Field(gt=0, le=100)]


class RateEntry(Frozen):
    """USD per million tokens. Cache rates that are missing equal the input rate; a missing 1-hour
    write rate equals the 5-minute one.
    """

    input: Usd
    output: Usd
    cache_read: Usd | None = None
    cache_write_5m: Usd | None = None
    cache_write_1h: Usd | None = None

    def rates(self) -> Rates:
        write = self.input if self.cache_write_5m is None else self.cache_write_5m
        write_1h = write if self.cache_write_1h is None else self.cache_write_1h
        read = self.input if self.cache_read is None else self.cache_read
        per_mtok = (self.input, self.output, read, write, write_1h)
        return Rates(*(rate / MTOK for rate in per_mtok))


class LongContextEntry(RateEntry):
    """Rates of requests whose whole prompt has more than `above` tokens."""

    above: int = Field(ge=1)


class PriceEntry(RateEntry):
    """The price of `model` from the day `from` on, until a later entry of that model. `batch` and
    `geo_us` scale all rates of a batched or US-only request; null where no such price is known.
    """

    model: str = Field(min_length=1, max_length=200)
    since: datetime.date = Field(alias="from")
    source: str = Field(min_length=1, max_length=500)
    batch: Factor | None = None
    geo_us: Factor | None = None
    long_context: LongContextEntry | None = None

    def price(self) -> Price:
        long = self.long_context
        return Price(
            rates=self.rates(),
            source=self.source,
            since=self.since,
            long_context=LongContext(long.above, long.rates()) if long else None,
            batch_factor=self.batch,
        )


class CardFile(Frozen):
    """One rate card file; a model may have only one price from a given day."""

    prices: tuple[PriceEntry, ...] = Field(max_length=10_000)

    @model_validator(mode="after")
    def _unique(self) -> "CardFile":
        seen: set[tuple[str, datetime.date]] = set()
        for entry in self.prices:
            key = (entry.model, entry.since)
            if key in seen:
                raise ValueError(f"prices: {entry.model} has two prices from {entry.since}")
            seen.add(key)
        return self
