"""What the demo reads of the server's audits."""

from prometheus_client import CollectorRegistry, generate_latest

from deploy.cli.demo.audits import Audited, audited, tally
from serving.telemetry.semantic import SemanticMetrics


def test_only_checks_of_hits_count() -> None:
    registry = CollectorRegistry()
    metrics = SemanticMetrics(registry)
    for task, source, right in (
        ("faq", "hit", True),
        ("faq", "hit", False),
        ("news", "hit", True),
        ("news", "hit", None),
        ("faq", "miss", False),
    ):
        metrics.checked(task, source, right=right)
    assert tally(generate_latest(registry).decode()) == Audited(checked=3, wrong=1)
    assert tally("") == Audited(0, 0)


def test_a_server_that_is_not_there_says_nothing() -> None:
    assert audited("http://127.0.0.1:9", None) is None
