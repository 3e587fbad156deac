"""What is counted of prompt caching, and under how many labels."""

from serving.telemetry.metrics import Metrics
from serving.telemetry.prompt_cache import MAX_FEATURES, MAX_PREFIXES


def labels(metrics: Metrics, name: str, label: str) -> set[str]:
    return {
        sample.labels[label]
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == f"stepwell_prompt_cache_{name}"
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"stepwell_prompt_cache_{name}", labels)


def test_features_beyond_the_first_are_others() -> None:
    metrics = Metrics()
    for i in range(2 * MAX_FEATURES):
        metrics.prompt_cache.called("opus", f"f{i}", "hit")
        metrics.prompt_cache.alerted("opus", f"f{i}")
    assert len(labels(metrics, "calls_total", "feature")) == MAX_FEATURES + 1
    assert value(metrics, "alerts_total", tier="opus", feature="other") == MAX_FEATURES


def test_a_prefix_has_a_label_from_its_second_call_on() -> None:
    metrics = Metrics()
    for i in range(3):
        for prefix in ("shared", f"volatile-{i}"):
            metrics.prompt_cache.used("opus", "support", prefix, read=10, written=0, plain=5)
    known = {"tier": "opus", "feature": "support", "billed": "read"}
    assert value(metrics, "tokens_total", prefix="shared", **known) == 20
    assert value(metrics, "tokens_total", prefix="other", **known) == 40
    assert labels(metrics, "tokens_total", "billed") == {"read", "plain"}
    for i in range(2 * MAX_PREFIXES):
        for _ in range(2):
            metrics.prompt_cache.used("opus", "support", f"p{i}", read=1, written=0, plain=0)
    assert len(labels(metrics, "tokens_total", "prefix")) == MAX_PREFIXES + 1


def test_waits_invalidators_and_errors() -> None:
    metrics = Metrics()
    metrics.prompt_cache.waited("opus", released=True)
    metrics.prompt_cache.waited("opus", released=False)
    metrics.prompt_cache.invalidated("opus", "timestamp", 0.25)
    metrics.prompt_cache.invalidated("opus", "reordered_tools", 0.0)
    metrics.prompt_cache.failed("opus")
    assert value(metrics, "waits_total", tier="opus", result="released") == 1
    assert value(metrics, "waits_total", tier="opus", result="late") == 1
    assert value(metrics, "lost_usd_total", tier="opus", kind="timestamp") == 0.25
    assert value(metrics, "invalidators_total", tier="opus", kind="reordered_tools") == 1
    assert value(metrics, "lost_usd_total", tier="opus", kind="reordered_tools") is None
    assert value(metrics, "errors_total", tier="opus") == 1
