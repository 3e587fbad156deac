"""From a tier's settings to what answers for it: the part of the wiring that opens connections."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from serving.backend import Ability, Backend
from serving.engines.mock.engine import MockBackend, mock_ability
from serving.engines.openai_compatible.adapter import OpenAICompatible, openai_ability
from serving.hosted.anthropic import Anthropic, anthropic_ability, thinking_room
from serving.hosted.emulator.app import create_emulator
from serving.hosted.emulator.server import EmulatorServer
from serving.settings.tiers import AnthropicEngine, MockEngine, TierSettings
from serving.wire.chat import ChatRequest


@dataclass(frozen=True, slots=True)
class Adapter:
    """`thinking_room`: tokens that the model may spend on thoughts beyond its output limit."""

    backend: Backend
    ability: Ability
    thinking_room: Callable[[ChatRequest], int] = lambda _request: 0


async def open_adapters(tiers: Sequence[TierSettings], stack: AsyncExitStack) -> dict[str, Adapter]:
    """One adapter per tier, by its name; `stack` closes them. Emulators start first, since the
    tiers that use them need their address.
    """
    emulators = await _start_emulators(tiers, stack)
    return {tier.name: _open(tier, emulators.get(tier.name), stack) for tier in tiers}


def _open(tier: TierSettings, emulator: str | None, stack: AsyncExitStack) -> Adapter:
    match tier.backend:
        case MockEngine() as engine:
            return Adapter(MockBackend(tier, engine), mock_ability(engine))
        case AnthropicEngine():
            claude = Anthropic(tier, base_url=emulator)
            stack.push_async_callback(claude.aclose)
            return Adapter(claude, anthropic_ability(tier), partial(thinking_room, tier))
        case _:
            server = OpenAICompatible(tier)
            stack.push_async_callback(server.aclose)
            return Adapter(server, openai_ability(tier))


async def _start_emulators(tiers: Sequence[TierSettings], stack: AsyncExitStack) -> dict[str, str]:
    """The emulator's base URL by tier. One emulator serves all models; a model that stands twice
    with a different competence gets another.
    """
    groups: list[dict[str, MockEngine]] = []
    placed: dict[str, int] = {}
    for tier in tiers:
        if not isinstance(tier.backend, AnthropicEngine) or tier.backend.emulated is None:
            continue
        engine = tier.backend.emulated
        fitting = (i for i, g in enumerate(groups) if g.get(tier.model, engine) == engine)
        index = next(fitting, len(groups))
        if index == len(groups):
            groups.append({})
        groups[index][tier.model] = engine
        placed[tier.name] = index
    urls = [await _start_emulator(group, tiers, stack) for group in groups]
    return {name: urls[index] for name, index in placed.items()}


async def _start_emulator(
    group: dict[str, MockEngine], tiers: Sequence[TierSettings], stack: AsyncExitStack
) -> str:
    by_model = {tier.model: tier for tier in tiers}
    answers = {model: MockBackend(by_model[model], engine) for model, engine in group.items()}
    server = EmulatorServer(create_emulator(answers))
    url = await server.start()
    stack.push_async_callback(server.stop)
    return url
