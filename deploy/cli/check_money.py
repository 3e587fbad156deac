"""What `check` says of local tiers against hosted models at today's prices. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from deploy.cli.findings import Finding
from serving.costs.breakeven import BreakEven, Mix, break_even
from serving.costs.price import Price
from serving.costs.rate_card import RateCard
from serving.hosted.models import catalog
from serving.settings.root import Settings
from serving.settings.tiers import AnthropicEngine, GpuPrice, TierSettings

THOUSAND = 1_000


@dataclass(frozen=True, slots=True)
class Rival:
    """A hosted model with its price and how many tokens it counts for one of ours."""

    name: str
    price: Price
    tokenizer: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A local tier and a hosted model, for `mix`."""

    tier: str
    hosted: str
    mix: Mix
    figures: BreakEven


def compared(
    settings: Settings,
    prices: Mapping[str, Price | None],
    card: RateCard,
    mix: Mix,
    utilisation: float | None,
) -> tuple[Compared, ...]:
    """Each real tier with a price per GPU-hour against each hosted tier, and the cheapest Claude
    that is no tier. `utilisation` replaces the tiers' own.
    """
    rivals = _rivals(settings, prices, card, mix)
    return tuple(
        found
        for tier in settings.tiers
        if not tier.simulated
        for rival in rivals
        if (found := _compare(tier, prices[tier.name], rival, mix, utilisation)) is not None
    )


def money_findings(comparisons: tuple[Compared, ...]) -> Iterator[Finding]:
    """Where a hosted model undercuts a local tier."""
    for found in comparisons:
        if not found.figures.undercut:
            continue
        figures, mix = found.figures, found.mix
        message = (
            f"{found.hosted} undercuts it at {figures.utilisation:.0%} utilisation:"
            f" {_usd(figures.owned_usd)} here, {_usd(figures.hosted_usd)} there for a thousand"
            f" requests of {mix.prompt_tokens:,} and {mix.completion_tokens:,} tokens;"
            f" {_from(figures)}"
        )
        yield Finding("warning", f"tiers.{found.tier}.price", message)


def _from(figures: BreakEven) -> str:
    if figures.never_pays:
        return f"even always busy it costs {_usd(figures.busy_usd)}"
    return f"it pays from {figures.at:.0%} on, {figures.requests_per_day:,.0f} requests a day"


def _usd(each: Decimal) -> str:
    return f"{each * THOUSAND:.2f} USD"


def _compare(
    tier: TierSettings, marginal: Price | None, rival: Rival, mix: Mix, utilisation: float | None
) -> Compared | None:
    gpus = tier.price
    if not isinstance(gpus, GpuPrice):
        return None
    assert marginal is not None  # a price per GPU-hour is always known
    figures = break_even(
        gpus,
        marginal,
        rival.price,
        mix,
        utilisation=Decimal(str(gpus.utilisation if utilisation is None else utilisation)),
        tokenizer=rival.tokenizer,
    )
    return None if figures is None else Compared(tier.name, rival.name, mix, figures)


def _rivals(
    settings: Settings, prices: Mapping[str, Price | None], card: RateCard, mix: Mix
) -> list[Rival]:
    """Hosted tiers of known price by name, one per model, then the cheapest Claude."""
    found: dict[str, Rival] = {}
    for tier in settings.tiers:
        price = prices[tier.name]
        if tier.hosted and price is not None and tier.model not in found:
            found[tier.model] = Rival(tier.name, price, _tokenizer(tier))
    others = [
        Rival(model, price, catalog().ability(model).tokenizer)
        for model in catalog().models
        if model not in found and (price := card.price(model)) is not None
    ]
    rivals = list(found.values())
    if others:
        rivals.append(min(others, key=lambda r: r.price.cost(mix.usage(r.tokenizer))))
    return rivals


def _tokenizer(tier: TierSettings) -> float:
    claude = isinstance(tier.backend, AnthropicEngine)
    return catalog().ability(tier.model).tokenizer if claude else 1.0
