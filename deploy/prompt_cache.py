"""The prompt-cache planner in front of a hosted Claude tier."""

from collections.abc import Callable
from decimal import Decimal

from cache.prompt.calls import Model
from cache.prompt.economics import CachePrices
from cache.prompt.losses import InputPrices
from cache.prompt.planned import PromptCachePlanned
from cache.prompt.planner import PromptCachePlanner
from cache.prompt.policy import PrefixPolicy
from serving.backend import Backend
from serving.costs.price import Price
from serving.hosted.models import catalog
from serving.settings.tiers import AnthropicEngine, TierSettings
from serving.telemetry.metrics import Metrics

RELATIVE = CachePrices(Decimal(1), Decimal("0.1"), Decimal("1.25"), Decimal(2))
"""Of a model whose price is not known: where a breakpoint pays is a matter of proportions."""


def with_prompt_cache(
    backend: Backend,
    tier: TierSettings,
    *,
    price: Price | None,
    metrics: Metrics,
    clock: Callable[[], float],
) -> Backend:
    """`backend` itself where the tier is not Claude's, or its planner is off. `price` is the
    tier's, None where it is not known; `clock` counts the seconds of cache lifetimes.
    """
    engine = tier.backend
    if not isinstance(engine, AnthropicEngine) or engine.prompt_cache.mode == "off":
        return backend
    ability = catalog().ability(tier.model)
    prices = RELATIVE if price is None else CachePrices.of(price.rates)
    known = None if price is None else InputPrices(float(prices.input), float(prices.read))
    planner = PromptCachePlanner(
        tier=tier.name,
        model=Model(tier.model, ability.min_cacheable, ability.tokenizer, ability.mid_system),
        policy=PrefixPolicy(prices, ability.min_cacheable),
        prices=known,
        settings=engine.prompt_cache,
        metrics=metrics.prompt_cache,
        clock=clock,
        # A gateway of the user's own may not know the field.
        diagnose=engine.base_url is None or engine.emulated is not None,
    )
    return PromptCachePlanned(
        backend,
        planner,
        tier=tier.name,
        wait_s=engine.prompt_cache.fan_out_wait_s,
        metrics=metrics.prompt_cache,
    )
