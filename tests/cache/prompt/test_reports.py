"""What users are told."""

import structlog

from cache.prompt.hit_rate import Fall
from cache.prompt.invalidators import Found
from cache.prompt.losses import Loss
from cache.prompt.reports import MOST_NOTES, Reports
from cache.prompt.verify import Verdict
from serving.telemetry.metrics import Metrics
from tests.cache.prompt.helpers import Clock, call, notes

LOSS = Loss(0.25, 1_000.0)


def found(kind: str = "timestamp", path: str = "system[0]", **fields: bool) -> Found:
    return Found(kind, path, 1_204, 8, 0, 9, 10, **fields)  # type: ignore[arg-type]  # a literal


def test_an_invalidator_in_words() -> None:
    to, metrics = call(), Metrics()
    reports = Reports("opus", metrics.prompt_cache, Clock())
    of = [
        (found(), LOSS),
        (found("uuid"), None),
        (found("reordered_tools", "tools[2]", repaired=True), LOSS),
        (found("counter", "system[1]"), LOSS),
        (found("date", now=False), LOSS),
    ]
    reports.invalidators(of, "support", to, {"system[1]"})
    place = "character 1,204 (8 long): changed in 9 of the last 10 calls"
    assert notes(to) == [
        ("timestamp", f"system[0], {place}; it costs $0.250000 a call, $1,000.00 a day"),
        ("uuid", f"system[0], {place}; what it costs is not known without a price"),
        ("reordered_tools", f"tools[2], {place}; sent in one order, so nothing is lost"),
        ("counter", f"system[1], {place}; moved to the end of the system prompt"),
    ]


def test_an_event_comes_once_an_hour_and_the_loss_is_counted_once_a_call() -> None:
    clock, metrics = Clock(), Metrics()
    reports = Reports("opus", metrics.prompt_cache, clock)
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            both = [(found(), LOSS), (found("uuid"), LOSS)]
            reports.invalidators(both, "support", call(), set())
            clock.now += 1_000
        reports.invalidators(both, "sales", call(), set())
    assert [line["feature"] for line in logs] == ["support"] * 4 + ["sales"] * 2
    lost = [
        metrics.registry.get_sample_value(
            "stepwell_prompt_cache_lost_usd_total", {"tier": "opus", "kind": kind}
        )
        for kind in ("timestamp", "uuid")
    ]
    assert lost == [1.5, None]


def test_a_trace_is_not_flooded() -> None:
    to = call()
    many = [(found(path=f"system[{i}]"), LOSS) for i in range(50)]
    Reports("opus", Metrics().prompt_cache, Clock()).invalidators(many, "support", to, set())
    assert len(notes(to)) == MOST_NOTES


def test_a_fall() -> None:
    to = call()
    with structlog.testing.capture_logs() as logs:
        Reports("opus", Metrics().prompt_cache, Clock()).fell(
            Fall(0.9, 0.12, 0.8, 0.4, 250, 25), "support", to, Verdict("expired", "too late")
        )
    assert notes(to) == [("hit rate fell", "of support: 90% before, 12% now")]
    assert logs[0]["event"] == "prompt_cache_hit_rate_fell"
    assert logs[0]["latest"] == "expired"
