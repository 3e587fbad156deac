"""From a tier's settings to what answers for it: the part of the wiring that opens connections."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from deploy.prompt_cache import with_prompt_cache
from serving.allowance import Report
from serving.backend import Ability, Backend
from serving.costs.rate_card import RateCard, tier_price
from serving.engines.guard.guard import Guard
from serving.engines.guard.pace import Pace
from serving.engines.mock.engine import MockBackend, mock_ability
from serving.engines.openai_compatible.adapter import OpenAICompatible, openai_ability
from serving.engines.vllm.ability import vllm_ability
from serving.hosted.anthropic import Anthropic, anthropic_ability, thinking_room
from serving.hosted.emulator.app import create_emulator
from serving.hosted.emulator.server import EmulatorServer
from serving.settings.tiers import AnthropicEngine, MockEngine, TierSettings
from serving.settings.vllm import VllmEngine
from serving.telemetry.metrics import Metrics
from serving.telemetry.running import Running
from serving.wire.chat import ChatRequest


@dataclass(frozen=True, slots=True)
class Adapter:
    """`thinking_room`: tokens that the model may spend on thoughts beyond its output limit.
    `emulator`: the base URL of the tier's own emulator, where it has one in this process.
    """

    backend: Backend
    ability: Ability
    thinking_room: Callable[[ChatRequest], int] = lambda _request: 0
    emulator: str | None = None


AdapterSource = Callable[
    [Sequence[TierSettings], AsyncExitStack, Metrics], Awaitable[Mapping[str, Adapter]]
]
"""Adapters by the names of their tiers; the stack closes them."""


async def open_adapters(
    tiers: Sequence[TierSettings],
    stack: AsyncExitStack,
    metrics: Metrics,
    *,
    card: RateCard | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Adapter]:
    """One adapter per tier in this process, by its name; `stack` closes them. `card` (default: the
    built-in one) has the prices that prompt caching is planned by, `clock` the seconds that cached
    prefixes live.
    """
    card = card or RateCard.load()
    found: dict[str, Adapter] = {}
    for tier in tiers:
        emulator = await start_emulator(tier, stack)
        pace = Pace()
        backend = _open(tier, emulator, pace.report, stack)
        counted = Running(backend, metrics.tier_running.labels(tier.name))
        guarded = Guard(counted, tier, pace=pace)
        price = tier_price(tier, card)
        planned = with_prompt_cache(guarded, tier, price=price, metrics=metrics, clock=clock)
        found[tier.name] = replace(described(tier, planned), emulator=emulator)
    return found


def described(tier: TierSettings, backend: Backend) -> Adapter:
    """`backend`, wherever it runs, with what the tier's model can do."""
    match tier.backend:
        case MockEngine() as engine:
            return Adapter(backend, mock_ability(engine))
        case AnthropicEngine():
            return Adapter(backend, anthropic_ability(tier), partial(thinking_room, tier))
        case VllmEngine():
            return Adapter(backend, vllm_ability(tier))
        case _:
            return Adapter(backend, openai_ability(tier))


def _open(
    tier: TierSettings, emulator: str | None, report: Report, stack: AsyncExitStack
) -> Backend:
    """`report` hears what the tier's provider says is left of its rate limits."""
    match tier.backend:
        case MockEngine() as engine:
            return MockBackend(tier, engine)
        case AnthropicEngine():
            claude = Anthropic(tier, base_url=emulator, report=report)
            stack.push_async_callback(claude.aclose)
            return claude
        case _:
            server = OpenAICompatible(tier)
            stack.push_async_callback(server.aclose)
            return server


async def start_emulator(tier: TierSettings, stack: AsyncExitStack) -> str | None:
    """The base URL of the tier's own emulator, None where it has none."""
    engine = tier.backend
    if not isinstance(engine, AnthropicEngine) or engine.emulated is None:
        return None
    at_once = engine.emulated.model_copy(update={"time_scale": 0.0})
    emulator = create_emulator(
        {tier.model: MockBackend(tier, engine.emulated)},
        batch_answer={tier.model: MockBackend(tier, at_once)},
        faults={str(kind): share for kind, share in engine.emulator_faults.items()},
        batches=engine.emulator_batches,
    )
    server = EmulatorServer(emulator)
    url = await server.start()
    stack.push_async_callback(server.stop)
    return url
