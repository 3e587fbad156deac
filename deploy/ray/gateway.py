"""A gateway's replica: the stateless API, and every wrapper down to the tiers' handles."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from cache.semantic.remote import HandleMemory
from deploy import collector
from deploy.adapters import Adapter, described
from deploy.build import opened
from deploy.ray.asides import asides, handle_embedders, sleeps
from deploy.ray.given import Given, LateApp
from deploy.ray.process import log_plainly
from deploy.semantic import Surroundings
from serving.api.app import create_app
from serving.engines.remote.aside import HandleEmbedder
from serving.engines.remote.handle import (
    Handle,
    HandleBackend,
    Sticky,
    conversation_bucket,
    prefix_bucket,
)
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine
from serving.telemetry.metrics import Metrics


class Gateway(Given):
    """`handles` has each tier's and each embedder's by its name, `semantic` is that of the semantic
    cache's memory, `batch` that of the replica that works off batches, which nobody calls. Without
    `settings` they are given to it before it is ready.
    """

    listens = True

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self,
        settings: Settings | None,
        handles: Mapping[str, Handle],
        semantic: Handle | None = None,
        batch: Handle | None = None,  # noqa: ARG002 - so that Serve deploys it
    ) -> None:
        self._handles = handles
        self._semantic = semantic
        self._app = LateApp()
        await self.start(settings)

    async def open(self, settings: Settings) -> None:
        log_plainly(settings.log)
        stack = AsyncExitStack()
        backends = {t.name: handle_backend(t, self._handles[t.name]) for t in settings.tiers}
        embedders = handle_embedders(settings, self._handles)
        sources = partial(_adapters, backends), partial(asides, self._handles, embedders)
        memory = None if self._semantic is None else HandleMemory(self._semantic)
        service = await stack.enter_async_context(
            opened(_without_worker(settings), *sources, partial(handle_memory, memory))
        )
        ready = partial(_ready, service.ready, {**backends, **embedders}, memory)
        await self._app.open(create_app(replace(service, ready=ready, shutdown=stack.aclose)))
        collector.calm()

    def __serve_build_asgi_app__(self) -> Any:
        return self._app


def _without_worker(settings: Settings) -> Settings:
    """A replica of its own works off batches."""
    batch = settings.batch.model_copy(update={"worker": False})
    return settings.model_copy(update={"batch": batch})


async def _adapters(
    backends: Mapping[str, HandleBackend],
    tiers: Sequence[TierSettings],
    _stack: AsyncExitStack,
    _metrics: Metrics,
) -> dict[str, Adapter]:
    """Handles need no closing, and tiers count where they are."""
    return {tier.name: described(tier, backends[tier.name]) for tier in tiers}


async def handle_memory(memory: HandleMemory | None, _around: Surroundings) -> HandleMemory:
    """Purges reach the gateways through the evictions that they share."""
    assert memory is not None, "the application binds one where it is wanted"
    return memory


def handle_backend(tier: TierSettings, handle: Handle) -> HandleBackend:
    return HandleBackend(handle, tier.name, sticky=_sticky(tier), sleeps=sleeps(tier))


async def _ready(
    others: Callable[[], Awaitable[Mapping[str, str]]],
    backends: Mapping[str, HandleBackend | HandleEmbedder],
    memory: HandleMemory | None,
) -> dict[str, str]:
    """A gateway is ready once every tier has been: from then on another tier answers for one that
    is away, and without the semantic cache the others do.
    """
    tiers = {f"tier {n}": "ok" if b.started else "starting" for n, b in backends.items()}
    parts = {**await others(), **tiers}
    if memory is not None:
        parts["semantic cache"] = "ok" if memory.started else "starting"
    return parts


def _sticky(tier: TierSettings) -> Sticky | None:
    """What is known of a prefix at a hosted tier is known in one place; a conversation's keys and
    values are in the memory of the vLLM replica that computed them.
    """
    if tier.hosted:
        return prefix_bucket
    if isinstance(tier.backend, VllmEngine):
        return conversation_bucket
    return None
