"""The one place that wires: it picks the concrete classes and stacks them in the order in which a
request meets them.

    api ─▶ classified ─▶ exact cache ─▶ semantic cache ─▶ audited ─▶ cascade
      │                            per tier: parkable ─▶ metered ─▶ fit ─▶ adapter ◀─┘
      └─▶ per embedder: fit ─▶ metered ─▶ adapter
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import select

from cache.evictions import SharedEvictions
from cache.exact import ExactCached
from deploy.adapters import Adapter, AdapterSource, open_adapters
from deploy.asides import AsideSource, ability_of, open_asides
from deploy.batch import open_work
from deploy.batch_tiers import hosted_batches
from deploy.paths import METRICS_DIR, data_dir, database_url
from deploy.responses import open_responses
from deploy.semantic import MemorySource, Remembered, memory_for, open_memory, semantic_cached
from router.audit import Audited
from router.classified import Classified
from router.conversations import Conversations
from router.identity import key_of
from router.live import CascadeBackend, Tasks
from router.observe import Observe
from router.planner import Planner
from router.route import Accepted
from router.rung import Rung
from router.spot_check import SpotChecker
from router.task import TaskClassifier
from router.validators.configured import check_tasks
from serving.api.models import model_cards
from serving.api.service import Service
from serving.backend import Backend, Embedder
from serving.batch.traffic import Traffic
from serving.costs.ledger import Ledger, Observer
from serving.costs.metered import Metered
from serving.costs.metered_embedder import MeteredEmbedder
from serving.costs.past import past_turns
from serving.costs.price import Price
from serving.costs.rate_card import RateCard, tier_price
from serving.costs.spent import spent_today
from serving.engines.embedding import FittedEmbedder
from serving.engines.fit import Fit
from serving.engines.parkable import Parkable
from serving.errors import ConfigError
from serving.settings.keys import Anonymous
from serving.settings.root import Settings
from serving.settings.secrets import read_secret
from serving.settings.tasks import TaskSettings
from serving.settings.tiers import TierSettings
from serving.storage.audits import AuditLog
from serving.storage.database import Database
from serving.storage.epochs import EpochStore
from serving.storage.outcomes import OutcomesLog
from serving.telemetry.metrics import Metrics

READY_TIMEOUT_S = 2.0


@asynccontextmanager
async def opened(
    settings: Settings,
    adapters_of: AdapterSource | None = None,
    asides_of: AsideSource = open_asides,
    memory_of: MemorySource = open_memory,
) -> AsyncIterator[Service]:
    """The whole stack, running; closed in reverse, so that what is measured last is still
    written. `adapters_of` says where the tiers are, `asides_of` where embedders and tokenizers,
    `memory_of` where the semantic cache's memory: by default in this process. `ConfigError` where a
    part cannot be had.
    """
    check_tasks(settings)
    async with AsyncExitStack() as stack:
        database = await Database.open(database_url(settings))
        stack.push_async_callback(database.close)
        metrics = _metrics(settings, stack)
        card = RateCard.load(Path(settings.rates) if settings.rates else None)
        conversations = _conversations(settings, database, stack)
        observers = [metrics.observe_attempt]
        if conversations is not None:
            observers.append(conversations.observe)
        ledger = await open_ledger(settings, card, database, observers, stack)
        adapters_of = adapters_of or partial(open_adapters, card=card)
        adapters = await adapters_of(settings.tiers, stack, metrics)
        rungs = _rungs(settings.tiers, adapters, card, ledger)
        asides = await asides_of(settings, stack, metrics)
        embedders = {
            e.name: served_embedder(e, asides.embedders[e.name], card, ledger)
            for e in settings.embedders
        }
        remembered = await memory_for(
            settings, database, embedders, metrics=metrics, source=memory_of, stack=stack
        )
        evictions = await _evictions(settings, database, stack)
        backend = _backend(
            settings,
            rungs,
            database,
            ledger,
            conversations=conversations,
            evictions=evictions,
            remembered=remembered,
            metrics=metrics,
            stack=stack,
        )
        traffic = Traffic(backend)
        hosted = hosted_batches(settings, card, adapters, ledger, metrics=metrics, stack=stack)
        work = await open_work(
            settings, traffic, database, metrics=metrics, hosted=hosted, stack=stack
        )
        responses, background = open_responses(settings, database, work, stack)
        yield Service(
            settings=settings,
            backend=traffic,
            models=model_cards(settings, _prices(settings, card)),
            metrics=metrics,
            ready=lambda: _ready(database),
            embedders=embedders,
            tokenizers=asides.tokenizers,
            work=work,
            responses=responses,
            background=background,
        )


def _backend(
    settings: Settings,
    rungs: list[Rung],
    database: Database,
    ledger: Ledger,
    *,
    conversations: Conversations | None,
    evictions: SharedEvictions | None,
    remembered: Remembered | None,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> Backend:
    """The wrappers of one request, from the cascade out."""
    tasks = _tasks(settings)
    audits = AuditLog(database)
    if settings.mode == "observe":
        baseline = settings.baseline_tier.name
        observe = Observe(rungs, baseline=baseline, tasks=tasks)
        return Classified(Audited(observe, tasks=tasks, log=audits), TaskClassifier(settings))
    planner = Planner(rungs, margin=settings.conversations.margin)
    checker = _spot_checker(settings, rungs, planner, database, stack)
    cascade = CascadeBackend(
        rungs,
        tasks=tasks,
        planner=planner,
        on_accepted=partial(_to_check, checker),
        conversations=conversations,
    )
    audited = Audited(cascade, tasks=tasks, log=audits)
    behind: Backend = audited
    evicts: tuple[Callable[[str], object], ...] = ()
    if remembered is not None:
        behind = semantic = semantic_cached(
            audited,
            remembered.memory,
            settings=settings,
            rungs=rungs,
            tasks=tasks,
            database=database,
            ledger=ledger,
            metrics=metrics.semantic,
            stack=stack,
        )
        evicts = (semantic.evict,)
    cached = ExactCached(
        behind, tasks=tasks, ledger=ledger, settings=settings.cache, evictions=evictions
    )
    checker.on_disagreed = partial(_evict, (cached.evict, *evicts))
    if remembered is not None:
        remembered.on_purge.append(cached.forget)
    return Classified(cached, TaskClassifier(settings))


def _evict(evicts: Sequence[Callable[[str], object]], request_id: str) -> None:
    """Every cache forgets what this request made."""
    for evict in evicts:
        evict(request_id)


def _to_check(checker: SpotChecker, accepted: Accepted) -> None:
    """Answers to clients; those to a check are checks themselves."""
    if accepted.call.kind == "attempt":
        checker.offer(accepted)


def _metrics(settings: Settings, stack: AsyncExitStack) -> Metrics:
    """On Ray, one scrape of any gateway covers every gateway of its node."""
    directory = data_dir() / METRICS_DIR if settings.runtime == "ray" else None
    tenants = {key.tenant for key in settings.keys} or {Anonymous().tenant}
    metrics = Metrics(tenants=tenants, multiprocess_dir=directory)
    stack.callback(metrics.close)
    return metrics


async def _evictions(
    settings: Settings, database: Database, stack: AsyncExitStack
) -> SharedEvictions | None:
    if not settings.shares_cache:
        return None
    evictions = SharedEvictions(EpochStore(database), settings.cache)
    await evictions.start()
    stack.push_async_callback(evictions.close)
    return evictions


def _conversations(
    settings: Settings, database: Database, stack: AsyncExitStack
) -> Conversations | None:
    """`ConfigError` where the key that the configuration names is not there."""
    wanted = settings.conversations
    if not wanted.enabled or settings.mode == "observe":
        return None
    secret = read_secret(wanted.key_env, None)
    if wanted.key_env is not None and secret is None:
        raise ConfigError(f"conversations.key_env: {wanted.key_env} is not set")
    conversations = Conversations(wanted, read=partial(past_turns, database), key=key_of(secret))
    stack.push_async_callback(conversations.close)
    return conversations


async def open_ledger(
    settings: Settings,
    card: RateCard,
    database: Database,
    observers: Sequence[Observer],
    stack: AsyncExitStack,
) -> Ledger:
    """Running; the stack closes it."""
    baseline = settings.baseline_tier
    ledger = Ledger(
        database,
        baseline=tier_price(baseline, card),
        baseline_tier=baseline.name,
        flush_interval_s=settings.storage.flush_interval_s,
        max_buffered_rows=settings.storage.max_buffered_rows,
        observers=observers,
    )
    await ledger.start()
    stack.push_async_callback(ledger.close)
    return ledger


def _rungs(
    tiers: Sequence[TierSettings], adapters: Mapping[str, Adapter], card: RateCard, ledger: Ledger
) -> list[Rung]:
    """Cheapest first; each knows the price of the next."""
    prices = [tier_price(tier, card) for tier in tiers[1:]]
    pairs = zip(tiers, (*prices, None), strict=True)
    return [_rung(t, adapters[t.name], card, ledger, above=price) for t, price in pairs]


def _rung(
    tier: TierSettings, adapter: Adapter, card: RateCard, ledger: Ledger, *, above: Price | None
) -> Rung:
    """One tier: parking around metering around fitting around the adapter."""
    price = tier_price(tier, card)
    fitted = Fit(adapter.backend, tier=tier, ability=adapter.ability)
    metered = Metered(
        fitted,
        tier=tier,
        price=price,
        ledger=ledger,
        thinking_room=adapter.thinking_room,
        above=above,
    )
    parkable = Parkable(
        metered,
        tier=tier,
        ability=adapter.ability,
        price=price,
        ledger=ledger,
        thinking_room=adapter.thinking_room,
    )
    return Rung(tier, parkable, adapter.ability, price, adapter.thinking_room, revise=ledger.revise)


def served_embedder(
    settings: TierSettings, inner: Embedder, card: RateCard, ledger: Ledger
) -> Embedder:
    """One embedder: fitting and a second try around metering around what embeds."""
    price = tier_price(settings, card)
    metered = MeteredEmbedder(inner, tier=settings, price=price, ledger=ledger)
    return FittedEmbedder(metered, tier=settings, ability=ability_of(settings))


def _spot_checker(
    settings: Settings,
    rungs: list[Rung],
    planner: Planner,
    database: Database,
    stack: AsyncExitStack,
) -> SpotChecker:
    checker = SpotChecker(
        rungs,
        planner=planner,
        settings=settings.spot_checks,
        log=OutcomesLog(database),
        spent_today=lambda: spent_today(database, kind="spot_check"),
    )
    stack.push_async_callback(checker.close, settings.server.drain_s)
    return checker


def _tasks(settings: Settings) -> Tasks:
    known: Mapping[str | None, TaskSettings] = {task.name: task for task in settings.tasks}
    default = settings.default_task
    return lambda name: known.get(name, default)


def _prices(settings: Settings, card: RateCard) -> dict[str, Mapping[str, str] | None]:
    prices = {t.name: tier_price(t, card) for t in (*settings.tiers, *settings.embedders)}
    return {n: None if price is None else price.describe() for n, price in prices.items()}


async def _ready(database: Database) -> dict[str, str]:
    """Says of each part "ok" or what is wrong with it."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), database.read() as connection:
            await connection.execute(select(1))
    except Exception as error:
        return {"database": f"not reachable: {type(error).__name__}"}
    return {"database": "ok"}
