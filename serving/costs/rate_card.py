"""Dated prices: the built-in card, a user's own beside it, and the price of a configured tier."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from serving.costs.card_file import CardFile, PriceEntry
from serving.costs.price import MTOK, Price, Rates
from serving.settings.load import load_model
from serving.settings.tiers import CardPrice, GpuPrice, TierSettings, TokenPrice

BUILT_IN = Path(__file__).with_name("rates.yaml")
SECONDS_PER_HOUR = 3_600

__all__ = ["Price", "RateCard", "capacity_cost", "tier_price"]

_SNAPSHOT = re.compile(r"-\d{8}$")


class RateCard:
    """Prices by model and date, oldest first."""

    def __init__(self, entries: Iterable[PriceEntry]) -> None:
        """Of two entries with the same model and date, the later one counts."""
        by_day = {(e.model, e.since): e for e in entries}
        self._entries: dict[str, list[PriceEntry]] = {}
        for model, since in sorted(by_day):
            self._entries.setdefault(model, []).append(by_day[model, since])

    @classmethod
    def load(cls, extra: Path | None = None) -> "RateCard":
        """The built-in card with the entries of the file `extra` added, which replace built-in
        ones of the same model and date. `ConfigError` says what is wrong with the file.
        """
        entries = load_model(BUILT_IN, CardFile).prices
        if extra is not None:
            entries += load_model(extra, CardFile).prices
        return cls(entries)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def price(self, model: str, on: date | None = None, *, geo_us: bool = False) -> Price | None:
        """The price of `model` on that day (default: today, UTC); None where it is unknown, which
        is not zero. A dated snapshot (`…-20251001`) costs what its model does, unless it has
        entries of its own. `geo_us`: for requests that must stay in the US.
        """
        day = on or datetime.now(UTC).date()
        entries = self._entries.get(model) or self._entries.get(_SNAPSHOT.sub("", model), [])
        entry = next((e for e in reversed(entries) if e.since <= day), None)
        if entry is None or (geo_us and entry.geo_us is None):
            return None
        price = entry.price()
        return price.scaled(entry.geo_us) if geo_us and entry.geo_us is not None else price


def tier_price(tier: TierSettings, card: RateCard, on: date | None = None) -> Price | None:
    """What the tier's tokens cost on that day; None where the card does not know, never zero.

    For a tier on GPUs it is the marginal cost, a busy GPU's share (formula at `GpuPrice`): every
    prompt token counts as prefilled, since a prefix that the engine still holds is not reported
    by all engines.
    """
    match tier.price:
        case CardPrice() as price:
            return card.price(price.model or tier.model, on, geo_us=price.geo_us)
        case TokenPrice() as price:
            return Price(_token_rates(price), source="the configuration", batch_factor=Decimal(1))
        case GpuPrice() as price:
            return Price(_gpu_rates(price), source="the configuration, GPU-hours at full batch")


def capacity_cost(price: GpuPrice, hours: Decimal) -> Decimal:
    """USD of owning the tier's GPUs for so many hours, idle or not."""
    return price.gpu_hour * price.gpus * hours


def _token_rates(price: TokenPrice) -> Rates:
    read, write = price.cache_read_per_mtok, price.cache_write_per_mtok
    write = price.input_per_mtok if write is None else write
    read = price.input_per_mtok if read is None else read
    per_mtok = (price.input_per_mtok, price.output_per_mtok, read, write, write)
    return Rates(*(rate / MTOK for rate in per_mtok))


def _gpu_rates(price: GpuPrice) -> Rates:
    per_second = price.gpu_hour * price.gpus / SECONDS_PER_HOUR
    prefill = per_second / Decimal(str(price.prefill_tokens_per_s))
    decode = per_second / Decimal(str(price.decode_tokens_per_s))
    return Rates(prefill, decode, prefill, prefill, prefill)
