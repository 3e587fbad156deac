"""The batch endpoints of tiers, and the ledger's part in what they answer."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog

from cache.prompt.economics import CachePrices, GapOdds, steady_costs
from deploy.adapters import Adapter
from serving.backend import Call
from serving.batch.hosted.values import Alike, BatchTier, Book, CheaperLive, LateResult, Pays
from serving.batch.hosted.work import Hosted
from serving.batches import BatchBackend, result_key
from serving.costs.bill import bill
from serving.costs.ledger import Ledger
from serving.costs.price import Price
from serving.costs.rate_card import RateCard, tier_price
from serving.engines.openai_compatible.batches import OpenAIBatches
from serving.hosted.batches import AnthropicBatches
from serving.hosted.models import catalog
from serving.settings.root import Settings
from serving.settings.tiers import AnthropicEngine, OpenAIEngine, TierSettings
from serving.telemetry.hosted_batches import HostedBatchMetrics
from serving.telemetry.metrics import Metrics
from serving.wire.completion import Usage

BOOKING_S = 60.0

_log = structlog.get_logger("stepwell.batch")


def hosted_batches(
    settings: Settings,
    card: RateCard,
    adapters: Mapping[str, Adapter],
    ledger: Ledger,
    *,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> Hosted:
    """What the worker does with providers' batches; nothing where there is no worker."""
    if not (settings.batch.enabled and settings.batch.worker):
        return Hosted({})
    return Hosted(
        batch_tiers(settings, card, adapters, stack),
        book=booking(settings, card, ledger),
        flush=ledger.flush,
        noted=HostedBatchMetrics(metrics.registry),
    )


def batch_tiers(
    settings: Settings, card: RateCard, adapters: Mapping[str, Adapter], stack: AsyncExitStack
) -> dict[str, BatchTier]:
    """Those of the cascade's tiers whose lines wait for a provider's batch: Claude's with a known
    batch price, and OpenAI-compatible ones that say they have batches. A tier with an emulator has
    them where its emulator runs. The stack closes them.
    """
    if not settings.batch.hosted or settings.mode == "observe":
        return {}
    found: dict[str, BatchTier] = {}
    for tier in settings.tiers:
        price = tier_price(tier, card)
        backend = _backend(tier, price, adapters[tier.name].emulator)
        if backend is not None:
            stack.push_async_callback(backend.aclose)
            hits = settings.batch.prefix_hits
            live = cheaper_live(tier, price, hits) if settings.batch.cheaper_live else None
            found[tier.name] = BatchTier(tier.name, backend, pays_of(tier, price, hits), live)
    return found


def booking(settings: Settings, card: RateCard, ledger: Ledger) -> Book:
    """Enters results that nobody waited for, in the rows that they would have had."""
    tiers = {tier.name: tier for tier in settings.tiers}

    async def book(late: LateResult) -> None:
        tier, result = tiers.get(late.tier), late.result
        if result.completion is None and result.cost_usd == 0:
            return
        if tier is None:
            _log.error("batch_result_of_unknown_tier", tier=late.tier, cost=str(result.cost_usd))
            return
        call = Call(
            late.request_id,
            late.tenant,
            time.monotonic() + BOOKING_S,
            key_id=late.key_id,
            urgency="offline",
        )
        attempt = ledger.open(
            call,
            kind="attempt",
            tier=tier.name,
            model=tier.model,
            simulated=tier.simulated,
            settled=False,
            key=result_key(late.request_id, late.tier, late.turn),
        )
        attempt.service = "batch"
        if result.completion is not None:
            bill(attempt, tier_price(tier, card), result.completion.usage)
        else:
            bill(attempt, None, Usage())
            attempt.error = None if result.error is None else result.error.code
        ledger.settle(attempt)
        attempt.judge("cancelled", "nobody_waited")
        await ledger.flush()

    return book


def _backend(tier: TierSettings, price: Price | None, emulator: str | None) -> BatchBackend | None:
    match tier.backend:
        case AnthropicEngine() as engine if price is not None and price.batch_factor is not None:
            if engine.emulated is not None and emulator is None:
                return None
            return AnthropicBatches(tier, price=price, base_url=emulator)
        case OpenAIEngine(batches=True):
            return OpenAIBatches(tier, price=price)
    return None


def pays_of(tier: TierSettings, price: Price | None, hits: float) -> Pays | None:
    """By the arithmetic of prefixes in steady use, where `hits` of the requests behind the first
    find what it stored for an hour, and the others store it anew.
    """
    engine = tier.backend
    if (
        price is None
        or not isinstance(engine, AnthropicEngine)
        or engine.prompt_cache.mode == "off"
    ):
        return None
    prices = CachePrices.of(price.rates).relative
    fewest = catalog().ability(tier.model).min_cacheable

    def pays(lines: int, tokens: int) -> bool:
        if tokens < fewest or lines < 1:
            return False
        costs = steady_costs(GapOdds(0.0, hits * (lines - 1) / lines), prices)
        return costs.hour < costs.plain

    return pays


def cheaper_live(tier: TierSettings, price: Price | None, hits: float) -> CheaperLive | None:
    """A live call finds the prefix that the one before it has stored for five minutes, and reads it
    at a tenth; in a batch `hits` of them find it, and each token costs the batch's share. So a
    prefix that is long beside question and answer costs less live.
    """
    pays = pays_of(tier, price, hits)
    if pays is None or price is None or price.batch_factor is None or price.rates.input <= 0:
        return None
    prices, factor = CachePrices.of(price.rates).relative, float(price.batch_factor)
    output = float(price.rates.output / price.rates.input)
    fewest = catalog().ability(tier.model).min_cacheable

    def live(alike: Alike) -> bool:
        found, tokens = (alike.lines - 1) / alike.lines, alike.prefix_tokens
        soon = steady_costs(GapOdds(found, 0.0), prices).five_minutes if tokens >= fewest else 1.0
        stored = pays(alike.lines, tokens)
        later = steady_costs(GapOdds(0.0, hits * found), prices).hour if stored else 1.0
        rest = alike.rest_tokens + alike.output_tokens * output
        return tokens * min(1.0, soon) + rest < factor * (tokens * later + rest)

    return live
