"""What an engine says of itself."""

from types import SimpleNamespace

from prometheus_client import CollectorRegistry

from serving.telemetry.engine import EngineMetrics


def step(running: int, waiting: int, queries: int, hits: int) -> SimpleNamespace:
    prefix = SimpleNamespace(queries=queries, hits=hits)
    return SimpleNamespace(
        num_running_reqs=running,
        num_waiting_reqs=waiting,
        kv_cache_usage=0.25,
        prefix_cache_stats=prefix,
    )


def test_steps_are_counted() -> None:
    registry = CollectorRegistry()
    metrics = EngineMetrics(registry, "local")
    metrics.record(step(3, 1, 10, 4), SimpleNamespace(num_preempted_reqs=1))
    metrics.record(step(2, 0, 5, 5), None)
    metrics.record(None, SimpleNamespace(num_preempted_reqs=2))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"stepwell_engine_{name}", {"tier": "local", **labels})

    assert value("requests", state="running") == 2
    assert value("requests", state="waiting") == 0
    assert value("kv_cache_usage") == 0.25
    assert value("prefix_tokens_total", result="queried") == 15
    assert value("prefix_tokens_total", result="hit") == 9
    assert value("preemptions_total") == 3
