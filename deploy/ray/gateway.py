"""A gateway's replica: the stateless API, and every wrapper down to the tiers' handles."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from deploy.adapters import Adapter, described
from deploy.build import opened
from deploy.ray.process import log_plainly
from serving.api.app import create_app
from serving.engines.remote.handle import Handle, HandleBackend
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.telemetry.metrics import Metrics


class Gateway:
    """`handles` has each tier's by its name."""

    async def __init__(self, settings: Settings, handles: Mapping[str, Handle]) -> None:  # type: ignore[misc]  # Ray awaits it
        log_plainly(settings.log)
        stack = AsyncExitStack()
        service = await stack.enter_async_context(opened(settings, partial(_adapters, handles)))
        self._app = create_app(replace(service, shutdown=stack.aclose))

    def __serve_build_asgi_app__(self) -> Any:
        return self._app


async def _adapters(
    handles: Mapping[str, Handle],
    tiers: Sequence[TierSettings],
    _stack: AsyncExitStack,
    _metrics: Metrics,
) -> dict[str, Adapter]:
    """Handles need no closing, and tiers count where they are."""
    found = {t.name: HandleBackend(handles[t.name], t.name, sticky=t.hosted) for t in tiers}
    return {tier.name: described(tier, found[tier.name]) for tier in tiers}
