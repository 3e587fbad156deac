"""A configuration with its defaults filled in and its prices looked up: what `check` shows."""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.costs.price import Price
from serving.settings.local import LocalEngine
from serving.settings.root import Settings
from serving.settings.tasks import TaskSettings
from serving.settings.tiers import AnthropicEngine, GateSettings, MockEngine, TierSettings
from serving.settings.vllm import VllmEngine


@dataclass(frozen=True, slots=True)
class GateView:
    """Thresholds on logprobs in nats."""

    min_mean: float
    min_window: float
    calibrated: bool


@dataclass(frozen=True, slots=True)
class TierView:
    """`price` is as `Price.describe` gives it, USD per million tokens; None where it is unknown.
    `endpoint` is the URL that the tier calls, None of one that makes its answers itself.
    """

    name: str
    model: str
    effort: str | None
    engine: str
    endpoint: str | None
    simulated: bool
    price: Mapping[str, str] | None
    deadline_s: float
    max_tokens: int
    gate: GateView | None


@dataclass(frozen=True, slots=True)
class TaskView:
    """`start` None: the planner chooses; `max` None: the most expensive tier."""

    name: str
    critical: bool
    start: str | None
    max: str | None
    cache_ttl_s: float | None
    validators: tuple[str, ...]
    spot_check_share: float
    gate: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """The whole configuration. `storage` is the database's URL without its password."""

    runtime: str
    mode: str
    listens: str
    baseline: str
    storage: str | None
    keys: int
    tiers: tuple[TierView, ...]
    tasks: tuple[TaskView, ...]


def resolve(
    settings: Settings, prices: Mapping[str, Price | None], storage: str | None
) -> Resolved:
    return Resolved(
        runtime=settings.runtime,
        mode=settings.mode,
        listens=f"{settings.server.host}:{settings.server.port}",
        baseline=settings.baseline_tier.name,
        storage=storage,
        keys=len(settings.keys),
        tiers=tuple(_tier(tier, prices[tier.name]) for tier in settings.tiers),
        tasks=tuple(_task(settings, t) for t in (*settings.tasks, settings.default_task)),
    )


def _tier(tier: TierSettings, price: Price | None) -> TierView:
    engine = tier.backend
    here = MockEngine | VllmEngine | LocalEngine
    endpoint = None if isinstance(engine, here) else engine.base_url
    if isinstance(engine, AnthropicEngine) and endpoint is None:
        endpoint = "https://api.anthropic.com"
    return TierView(
        name=tier.name,
        model=tier.model,
        effort=tier.effort,
        engine=engine.engine,
        endpoint=endpoint,
        simulated=tier.simulated,
        price=price.describe() if price is not None else None,
        deadline_s=tier.deadline_s,
        max_tokens=tier.output.max_tokens,
        gate=_gate(tier.gate),
    )


def _gate(gate: GateSettings | None) -> GateView | None:
    if gate is None:
        return None
    return GateView(gate.min_mean, gate.min_window, gate.calibrated)


def _task(settings: Settings, task: TaskSettings) -> TaskView:
    start = settings.tiers[-1].name if task.critical and task.max is None else task.start
    return TaskView(
        name=task.name,
        critical=task.critical,
        start=task.max if task.critical and task.max is not None else start,
        max=task.max,
        cache_ttl_s=task.cache.ttl_s if task.cache.enabled else None,
        validators=tuple(spec.kind for spec in task.validators),
        spot_check_share=task.spot_check.share,
        gate=task.gate,
    )
