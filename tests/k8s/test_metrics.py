"""Metrics are found in expressions, and nothing else is taken for one."""

import pytest

from k8s.checks.exported import exported, names
from k8s.checks.metrics import metrics_in


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum(rate(a_total{code!="b_total"}[5m])) > 0.02', {"a_total"}),
        ("sum by (tier) (rate(a[1h])) / on (x) group_left (y) b", {"a", "b"}),
        ("histogram_quantile(0.95, sum by (le) (rate(s_bucket[$__rate_interval])))", {"s_bucket"}),
        ("a offset 5m and b unless c or vector(1) == bool 1e3", {"a", "b", "c"}),
        ("max by (task) (rate_of_hits{bound='low'}) > Inf", {"rate_of_hits"}),
    ],
)
def test_metrics_of_an_expression(expression: str, found: set[str]) -> None:
    assert metrics_in(expression) == found


def test_names_of_a_scrape() -> None:
    scrape = "# TYPE a_total counter\na_total 1\n# TYPE s histogram\n# TYPE g gauge\n"
    assert names(scrape) == {"a_total", "s_bucket", "s_sum", "s_count", "g"}


def test_what_is_exported() -> None:
    there = exported()
    assert {"stepwell_requests_total", "stepwell_attempt_seconds_bucket"} <= there
    assert {"stepwell_engine_kv_cache_usage", "stepwell_semantic_false_hit_rate"} <= there
    assert "stepwell_no_such_thing" not in there
