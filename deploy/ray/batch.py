"""The replica that works off batches: their lines share no process with clients' requests."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from cache.semantic.remote import HandleMemory
from deploy import collector
from deploy.adapters import Adapter, described, start_emulator
from deploy.build import opened
from deploy.ray.asides import asides, handle_embedders
from deploy.ray.gateway import handle_backend, handle_memory
from deploy.ray.given import Given
from deploy.ray.process import log_plainly
from serving.engines.remote.handle import Handle, HandleBackend
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.telemetry.metrics import Metrics

NICENESS = 10
"""Where processors are short, what clients wait for goes first."""


class BatchReplica(Given):
    """A gateway's stack with a worker, and nobody to listen. There is one, so that an emulated
    tier's batches are all at its emulator, which is in this process. Without `settings` they are
    given to it before it is ready.
    """

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self,
        settings: Settings | None,
        handles: Mapping[str, Handle],
        semantic: Handle | None = None,
    ) -> None:
        self._handles = handles
        self._semantic = semantic
        self._stack = AsyncExitStack()
        await self.start(settings)

    async def open(self, settings: Settings) -> None:
        log_plainly(settings.log)
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)  # of this thread and those that it starts
        backends = {t.name: handle_backend(t, self._handles[t.name]) for t in settings.tiers}
        embedders = handle_embedders(settings, self._handles)
        memory = None if self._semantic is None else HandleMemory(self._semantic)
        sources = partial(_adapters, backends), partial(asides, self._handles, embedders)
        await self._stack.enter_async_context(
            opened(settings, *sources, partial(handle_memory, memory))
        )
        collector.calm()

    async def __del__(self) -> None:
        await self._stack.aclose()


async def _adapters(
    backends: Mapping[str, HandleBackend],
    tiers: Sequence[TierSettings],
    stack: AsyncExitStack,
    _metrics: Metrics,
) -> dict[str, Adapter]:
    """Calls go to the tiers' handles; batches go from here."""
    return {
        tier.name: replace(
            described(tier, backends[tier.name]), emulator=await start_emulator(tier, stack)
        )
        for tier in tiers
    }
