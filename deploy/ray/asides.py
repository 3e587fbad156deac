"""A gateway's embedders and tokenizers: all behind handles."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from deploy.asides import Asides, tokenizes
from serving.engines.remote.aside import HandleEmbedder, HandleTokenizer
from serving.engines.remote.handle import Handle
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine
from serving.telemetry.metrics import Metrics


def handle_embedders(
    settings: Settings, handles: Mapping[str, Handle]
) -> dict[str, HandleEmbedder]:
    return {
        e.name: HandleEmbedder(handles[e.name], e.name, sleeps=sleeps(e))
        for e in settings.embedders
    }


async def asides(
    handles: Mapping[str, Handle],
    embedders: Mapping[str, HandleEmbedder],
    settings: Settings,
    _stack: AsyncExitStack,
    _metrics: Metrics,
) -> Asides:
    """Handles need no closing, and embedders count where they are."""
    able = [tier for tier in (*settings.tiers, *settings.embedders) if tokenizes(tier)]
    tokenizers = {
        tier.name: HandleTokenizer(handles[tier.name], tier.name, sleeps=sleeps(tier))
        for tier in able
    }
    return Asides(embedders, tokenizers)


def sleeps(tier: TierSettings) -> bool:
    """Whether it has no replica while it is idle."""
    scaling = tier.backend.autoscaling if isinstance(tier.backend, VllmEngine) else None
    return scaling is not None and scaling.min_replicas == 0
