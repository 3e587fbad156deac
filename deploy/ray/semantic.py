"""The semantic cache's replica: embedder, index and entries, for all gateways."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from cache.semantic.remote import answer
from deploy.build import open_ledger, served_embedder
from deploy.paths import METRICS_DIR, data_dir, database_url
from deploy.ray.asides import sleeps
from deploy.ray.given import Given
from deploy.ray.process import log_plainly
from deploy.semantic import Surroundings, open_memory
from serving.costs.rate_card import RateCard
from serving.engines.remote.aside import HandleEmbedder
from serving.engines.remote.handle import Handle
from serving.settings.root import Settings
from serving.storage.database import Database
from serving.telemetry.metrics import Metrics


class SemanticReplica(Given):
    """Its method is what a `HandleMemory` calls. `handles` has the embedder's, where that is one of
    the configuration's own. Without `settings` they are given to it before it is ready.
    """

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self, settings: Settings | None, handles: Mapping[str, Handle]
    ) -> None:
        self._handles = handles
        self._stack = AsyncExitStack()
        await self.start(settings)

    async def open(self, settings: Settings) -> None:
        log_plainly(settings.log)
        stack = self._stack
        database = await Database.open(database_url(settings))
        stack.push_async_callback(database.close)
        metrics = Metrics(multiprocess_dir=data_dir() / METRICS_DIR, role="semantic")
        stack.callback(metrics.close)
        card = RateCard.load(Path(settings.rates) if settings.rates else None)
        ledger = await open_ledger(settings, card, database, [metrics.observe_attempt], stack)
        embedders = {}
        for name, handle in self._handles.items():
            tier = settings.embedder(name)
            assert tier is not None
            remote = HandleEmbedder(handle, name, sleeps=sleeps(tier))
            embedders[name] = served_embedder(tier, remote, card, ledger)
        self._memory = await open_memory(
            Surroundings(settings, database, embedders, metrics.semantic, stack)
        )

    async def ask(self, method: str, *arguments: Any) -> Any:
        return await answer(self._memory, method, *arguments)

    async def __del__(self) -> None:
        await self._stack.aclose()
