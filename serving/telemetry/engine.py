"""What an engine on this node says of itself, beside the metrics that it exports on its own."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class EngineMetrics:
    """A stat logger of vLLM: the engine of `tier` calls `record` after each of its steps."""

    def __init__(self, registry: CollectorRegistry, tier: str) -> None:
        requests = Gauge(
            "stepwell_engine_requests",
            "Sequences in the engine by state: running, or waiting for a place.",
            ["tier", "state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        kv_cache = Gauge(
            "stepwell_engine_kv_cache_usage",
            "Share of the engine's KV cache in use, of the fullest replica.",
            ["tier"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        prefix = Counter(
            "stepwell_engine_prefix_tokens",
            "Prompt tokens that the engine looked up in its prefix cache, and found there.",
            ["tier", "result"],
            registry=registry,
        )
        preempted = Counter(
            "stepwell_engine_preemptions",
            "Sequences that lost their place to others and were computed again.",
            ["tier"],
            registry=registry,
        )
        self._running = requests.labels(tier, "running")
        self._waiting = requests.labels(tier, "waiting")
        self._kv_cache = kv_cache.labels(tier)
        self._queried = prefix.labels(tier, "queried")
        self._hit = prefix.labels(tier, "hit")
        self._preempted = preempted.labels(tier)

    def record(
        self,
        scheduler_stats: Any = None,
        iteration_stats: Any = None,
        mm_cache_stats: Any = None,  # noqa: ARG002 - part of vLLM's interface
        engine_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Statistics of one step; either may be None."""
        if scheduler_stats is not None:
            self._running.set(scheduler_stats.num_running_reqs)
            self._waiting.set(scheduler_stats.num_waiting_reqs)
            self._kv_cache.set(scheduler_stats.kv_cache_usage)
            self._queried.inc(scheduler_stats.prefix_cache_stats.queries)
            self._hit.inc(scheduler_stats.prefix_cache_stats.hits)
        if iteration_stats is not None:
            self._preempted.inc(iteration_stats.num_preempted_reqs)

    def log(self) -> None:
        """Nothing is printed."""

    def log_engine_initialized(self) -> None:
        """Nothing is printed."""

    def record_sleep_state(self, *_: Any) -> None:
        """Engines here do not sleep."""
