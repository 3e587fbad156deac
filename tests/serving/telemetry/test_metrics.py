"""What is counted, and under which labels."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from serving.backend import Attempt, Call, Trace
from serving.telemetry.metrics import Metrics
from serving.wire.completion import Usage

CALL = Call("req_1", "acme", 0.0)


def attempt(**fields: Any) -> Attempt:
    values = {
        "id": "a",
        "kind": "attempt",
        "tier": "small",
        "model": "m",
        "started_at": 0.0,
        "outcome": "accepted",
        "usage": Usage(100, 20, 60, 10, 0, 5),
        "cost_usd": Decimal("0.25"),
        "latency_ms": 200.0,
    }
    return Attempt(**{**values, **fields})


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_an_attempt() -> None:
    metrics = Metrics(["acme"])
    metrics.observe_attempt(
        attempt(ttft_ms=50.0, baseline_cost_usd=Decimal(1), simulated=True), CALL
    )
    assert (
        value(
            metrics,
            "stepwell_attempts_total",
            kind="attempt",
            tier="small",
            outcome="accepted",
            simulated="true",
        )
        == 1
    )
    tokens = {
        direction: value(
            metrics, "stepwell_tokens_total", tier="small", direction=direction, simulated="true"
        )
        for direction in ("input", "output", "cached", "cache_write", "reasoning")
    }
    assert tokens == {"input": 100, "output": 20, "cached": 60, "cache_write": 10, "reasoning": 5}
    assert value(metrics, "stepwell_cost_usd_total", tier="small", simulated="true") == 0.25
    assert value(metrics, "stepwell_tenant_cost_usd_total", tenant="acme", simulated="true") == 0.25
    assert value(metrics, "stepwell_baseline_cost_usd_total", simulated="true") == 1
    assert value(metrics, "stepwell_attempt_seconds_sum", tier="small") == 0.2
    assert value(metrics, "stepwell_attempt_time_to_first_token_seconds_sum", tier="small") == 0.05


def test_an_unknown_price_is_no_cost() -> None:
    metrics = Metrics()
    metrics.observe_attempt(attempt(cost_usd=None), CALL)
    assert value(metrics, "stepwell_unpriced_attempts_total", tier="small") == 1
    assert value(metrics, "stepwell_cost_usd_total", tier="small", simulated="false") is None


def test_a_cache_hits_tokens_are_not_counted_again() -> None:
    metrics = Metrics()
    metrics.observe_attempt(attempt(kind="cache_hit", cost_usd=Decimal(0)), CALL)
    assert b"stepwell_tokens_total{" not in metrics.render()[0]


def test_escalations_are_the_cascades_own() -> None:
    metrics = Metrics()
    metrics.observe_attempt(attempt(outcome="escalated"), CALL)
    metrics.observe_attempt(attempt(kind="spot_check", outcome="escalated"), CALL)
    assert value(metrics, "stepwell_escalations_total", tier="small") == 1


def test_labels_stay_few() -> None:
    """Neither tenants nor errors that nobody configured make new series."""
    metrics = Metrics([f"t{i}" for i in range(500)])
    for i in range(500):
        call = Call("r", f"t{i}", 0.0)
        metrics.observe_attempt(attempt(error=f"made_up_{i}", outcome="failed"), call)
    metrics.observe_attempt(attempt(error="tier_timeout", outcome="failed"), CALL)
    text = metrics.render()[0].decode()
    assert text.count("stepwell_tenant_cost_usd_total{") == 101
    assert value(metrics, "stepwell_attempt_errors_total", tier="small", code="other") == 500
    assert value(metrics, "stepwell_attempt_errors_total", tier="small", code="tier_timeout") == 1
    assert text.count("stepwell_attempt_errors_total{") == 2


def test_requests() -> None:
    metrics = Metrics()
    traces = [Trace(cache="exact"), Trace(cache="miss", best_effort="failed json")]
    metrics.observe_request("/v1/x", 200, 0.2, first_token_seconds=0.1, traces=traces)
    metrics.observe_request("/v1/x", 200, 0.2, stream_error="client_gone")
    metrics.observe_request("/v1/x", 200, 0.2, stream_error="whatever")
    assert value(metrics, "stepwell_requests_total", endpoint="/v1/x", status="200") == 3
    assert value(metrics, "stepwell_cache_requests_total", state="exact") == 1
    assert value(metrics, "stepwell_best_effort_total") == 1
    assert value(metrics, "stepwell_stream_errors_total", code="client_gone") == 1
    assert value(metrics, "stepwell_stream_errors_total", code="other") == 1
    assert value(metrics, "stepwell_time_to_first_token_seconds_count", endpoint="/v1/x") == 1


def test_two_processes_in_one_test_do_not_share() -> None:
    one, two = Metrics(), Metrics()
    one.observe_request("/v1/x", 200, 0.2)
    assert value(two, "stepwell_requests_total", endpoint="/v1/x", status="200") is None
    assert b"process_cpu_seconds_total" in one.render()[0]


def test_every_metric_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    metrics = Metrics()
    for family in metrics.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        assert f"`{name}`" in page, name


def test_what_each_lever_saved_or_cost() -> None:
    metrics = Metrics()
    given: dict[str, Any] = {"list_cost_usd": Decimal("0.5"), "live_cost_usd": Decimal("0.75")}
    metrics.observe_attempt(attempt(**given, baseline_cost_usd=Decimal(2), service="batch"), CALL)

    def parts(sign: str) -> dict[str, float | None]:
        levers = ("routing", "prompt_caching", "batch")
        named = {"sign": sign, "simulated": "false"}
        return {
            lever: value(metrics, "stepwell_savings_usd_total", lever=lever, **named)
            for lever in levers
        }

    assert parts("saved") == {"routing": 1.5, "prompt_caching": None, "batch": 0.5}
    assert parts("lost") == {"routing": None, "prompt_caching": 0.25, "batch": None}
