"""From an embedder's or tier's settings to what embeds or tokenizes for it, in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cache.embedder.batched import BatchedEmbedder
from cache.embedder.load import load_model
from cache.embedder.served import Served
from serving.backend import Embedder, Tokenizer
from serving.engines.embedding import EmbedderAbility
from serving.engines.guard.guard import GuardedEmbedder
from serving.engines.mock.embed import MockEmbedder
from serving.engines.mock.tokenize import MockTokenizer
from serving.engines.openai_compatible.embed import OpenAIEmbedder, openai_embedder_ability
from serving.engines.openai_compatible.tokenize import OpenAITokenizer
from serving.engines.vllm.embed import ABILITY as VLLM_ABILITY
from serving.settings.local import LocalEngine
from serving.settings.root import Settings
from serving.settings.tiers import MockEngine, OpenAIEngine, TierSettings
from serving.settings.vllm import VllmEngine
from serving.telemetry.metrics import Metrics
from serving.telemetry.running import RunningEmbedder

LOCAL_ABILITY = EmbedderAbility(params=frozenset(), tokens=False)
"""Of dimensions a model in this process has its own alone, and says so itself."""


@dataclass(frozen=True, slots=True)
class Asides:
    """Embedders, and the tokenizers of tiers and embedders, by name."""

    embedders: Mapping[str, Embedder]
    tokenizers: Mapping[str, Tokenizer]


AsideSource = Callable[[Settings, AsyncExitStack, Metrics], Awaitable[Asides]]
"""The stack closes them."""


async def open_asides(settings: Settings, stack: AsyncExitStack, metrics: Metrics) -> Asides:
    """All of them, in this process."""
    everyone = (*settings.tiers, *settings.embedders)
    embedders = await open_embedders(settings.embedders, stack, metrics)
    return Asides(embedders, open_tokenizers(everyone, stack))


async def open_embedders(
    embedders: Sequence[TierSettings], stack: AsyncExitStack, metrics: Metrics
) -> dict[str, Embedder]:
    """In this process, guarded and counted. A model that runs here may have to be downloaded."""
    found: dict[str, Embedder] = {}
    for embedder in embedders:
        gauge = metrics.tier_running.labels(embedder.name)
        counted = RunningEmbedder(await _open_embedder(embedder, stack), gauge)
        found[embedder.name] = GuardedEmbedder(counted, embedder)
    return found


def open_tokenizers(tiers: Iterable[TierSettings], stack: AsyncExitStack) -> dict[str, Tokenizer]:
    """Of those that can, in this process."""
    found: dict[str, Tokenizer] = {}
    for tier in tiers:
        if isinstance(tier.backend, MockEngine):
            found[tier.name] = MockTokenizer(tier)
        elif isinstance(tier.backend, OpenAIEngine) and tier.backend.tokenize:
            server = OpenAITokenizer(tier)
            stack.push_async_callback(server.aclose)
            found[tier.name] = server
    return found


def ability_of(embedder: TierSettings) -> EmbedderAbility:
    match embedder.backend:
        case MockEngine():
            return EmbedderAbility()
        case VllmEngine():
            return VLLM_ABILITY
        case LocalEngine():
            return LOCAL_ABILITY
        case _:
            return openai_embedder_ability(embedder)


def tokenizes(tier: TierSettings) -> bool:
    engine = tier.backend
    return isinstance(engine, MockEngine | VllmEngine) or (
        isinstance(engine, OpenAIEngine) and engine.tokenize
    )


async def _open_embedder(embedder: TierSettings, stack: AsyncExitStack) -> Embedder:
    match embedder.backend:
        case MockEngine() as engine:
            return MockEmbedder(embedder, engine)
        case LocalEngine() as engine:
            source = engine.source or embedder.model
            model = await asyncio.to_thread(load_model, source, threads=engine.threads)
            batched = BatchedEmbedder(model)
            stack.push_async_callback(batched.close)
            return Served(batched)
        case _:
            server = OpenAIEmbedder(embedder)
            stack.push_async_callback(server.aclose)
            return server
