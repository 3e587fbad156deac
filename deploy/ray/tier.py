"""A tier's replica: hosts one local tier, or all hosted ones (the egress)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from deploy import collector
from deploy.adapters import open_adapters
from deploy.asides import open_tokenizers
from deploy.paths import METRICS_DIR, data_dir
from deploy.ray.process import log_plainly
from serving.costs.rate_card import RateCard
from serving.engines.remote.aside import AsideHost, AsideReply, Question
from serving.engines.remote.host import TierHost
from serving.engines.remote.wire import Asked, Batch, Reply
from serving.settings.root import Settings
from serving.telemetry.metrics import Metrics


class TierReplica:
    """Its methods are what a `HandleBackend` and a `HandleTokenizer` call."""

    async def __init__(self, settings: Settings, names: Sequence[str]) -> None:  # type: ignore[misc]  # Ray awaits it
        log_plainly(settings.log)
        self._stack = AsyncExitStack()
        metrics = Metrics(multiprocess_dir=data_dir() / METRICS_DIR, role="tier")
        self._stack.callback(metrics.close)
        tiers = [settings.tier(name) for name in names]
        card = RateCard.load(Path(settings.rates) if settings.rates else None)
        adapters = await open_adapters(tiers, self._stack, metrics, card=card)
        self._host = TierHost({name: adapter.backend for name, adapter in adapters.items()})
        self._asides = AsideHost({}, open_tokenizers(tiers, self._stack))
        collector.calm()

    async def complete(self, tier: str, asked: Asked) -> Reply:
        return await self._host.complete(tier, asked)

    async def stream(self, tier: str, asked: Asked) -> AsyncGenerator[Batch, None]:
        async with aclosing(self._host.stream(tier, asked)) as batches:
            async for batch in batches:
                yield batch

    async def aside(self, tier: str, question: Question, asked: Asked) -> AsideReply:
        return await self._asides.ask(tier, question, asked)

    async def __del__(self) -> None:
        await self._stack.aclose()
