"""What every replica on vLLM shares, whether it generates or embeds."""

from abc import ABC, abstractmethod
from typing import Any

from deploy.paths import METRICS_DIR, data_dir
from deploy.ray.process import log_plainly
from serving.engines.remote.aside import AsideHost, AsideReply, Question
from serving.engines.remote.wire import Asked
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.telemetry.engine import EngineMetrics
from serving.telemetry.metrics import Metrics


class OnEngine(ABC):
    """The part of a replica that is Stepwell's; Ray's `LLMServer` beside it runs the `engine`."""

    engine: Any
    asides: AsideHost
    metrics: Metrics

    @abstractmethod
    async def answer_for(self, tier: TierSettings) -> None:
        """Called once the engine runs and is counted: on return the replica is ready."""

    def count(self, tier: TierSettings) -> None:
        """The engine tells its figures from now on."""
        self.metrics = Metrics(multiprocess_dir=data_dir() / METRICS_DIR, role="tier")
        loggers = self.engine._engine_client.logger_manager.stat_loggers
        loggers.append(EngineMetrics(self.metrics.registry, tier.name))

    async def aside(self, tier: str, question: Question, asked: Asked) -> AsideReply:
        return await self.asides.ask(tier, question, asked)

    def stop(self) -> None:
        if hasattr(self, "metrics"):
            self.metrics.close()


def server_class(kind: type[OnEngine]) -> Any:
    """Made when it is needed: its other base is in an extra."""
    from ray.serve.llm.deployment import LLMServer  # noqa: PLC0415

    class VllmReplica(kind, LLMServer):  # type: ignore[misc, valid-type]  # bases known at run time
        async def __init__(  # type: ignore[misc]  # Ray awaits it
            self, llm_config: Any, *, settings: Settings, tier: TierSettings
        ) -> None:
            log_plainly(settings.log)
            await LLMServer.__init__(self, llm_config)
            self.count(tier)
            await self.answer_for(tier)

        async def __del__(self) -> None:
            self.stop()
            await LLMServer.__del__(self)

    return VllmReplica
