"""An embedder's replica: a mock, a server by URL, a model of its own, or vLLM's pooling engine."""

from contextlib import AsyncExitStack
from typing import Any

from deploy.asides import open_embedders, open_tokenizers
from deploy.paths import METRICS_DIR, data_dir
from deploy.ray.engine import OnEngine
from deploy.ray.process import log_plainly
from serving.engines.guard.guard import GuardedEmbedder
from serving.engines.remote.aside import AsideHost, AsideReply, Question
from serving.engines.remote.wire import Asked
from serving.engines.vllm.embed import VllmEmbedder, warm_up
from serving.engines.vllm.tokenize import RequestTypes, VllmTokenizer
from serving.errors import ConfigError
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine
from serving.telemetry.metrics import Metrics
from serving.telemetry.running import RunningEmbedder


class EmbedderReplica:
    """Its method is what a `HandleEmbedder` calls."""

    async def __init__(self, settings: Settings, embedder: TierSettings) -> None:  # type: ignore[misc]  # Ray awaits it
        log_plainly(settings.log)
        self._stack = AsyncExitStack()
        metrics = Metrics(multiprocess_dir=data_dir() / METRICS_DIR, role="tier")
        self._stack.callback(metrics.close)
        self._asides = AsideHost(
            await open_embedders([embedder], self._stack, metrics),
            open_tokenizers([embedder], self._stack),
        )

    async def aside(self, tier: str, question: Question, asked: Asked) -> AsideReply:
        return await self._asides.ask(tier, question, asked)

    async def __del__(self) -> None:
        await self._stack.aclose()


class Embedding(OnEngine):
    """What a `HandleEmbedder` calls, answered by the engine in this process."""

    async def answer_for(self, tier: TierSettings) -> None:
        engine = tier.backend
        assert isinstance(engine, VllmEngine)
        embedder = _embedder(self.engine, tier)
        if engine.warm_up:
            await warm_up(embedder, tier)
        running = RunningEmbedder(embedder, self.metrics.tier_running.labels(tier.name))
        self.asides = AsideHost(
            {tier.name: GuardedEmbedder(running, tier)},
            {tier.name: vllm_tokenizer(self.engine, tier)},
        )


def _embedder(engine: Any, tier: TierSettings) -> VllmEmbedder:
    from vllm.entrypoints.pooling.embed.protocol import (  # noqa: PLC0415 - an extra
        EmbeddingCompletionRequest,
    )

    serving = engine._oai_serving_embedding
    if serving is None:
        raise ConfigError(f"embedder {tier.name}: the model {tier.model} makes no embeddings")
    return VllmEmbedder(tier, serving, EmbeddingCompletionRequest)


def vllm_tokenizer(engine: Any, tier: TierSettings) -> VllmTokenizer:
    """Of Ray's engine, which looks for vLLM's own one under a name that it had before."""
    from vllm.entrypoints.serve.tokenize.protocol import (  # noqa: PLC0415 - an extra
        DetokenizeRequest,
        TokenizeChatRequest,
        TokenizeCompletionRequest,
    )

    serving = engine._oai_serving_tokenization or engine._app_state.serving_tokenization
    types = RequestTypes(TokenizeCompletionRequest, TokenizeChatRequest, DetokenizeRequest)
    return VllmTokenizer(tier, serving, types)
