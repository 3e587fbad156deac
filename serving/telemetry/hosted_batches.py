"""Lines that wait for providers' batches, in numbers. Labels are states, and tiers of the
configuration.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge


class HostedBatchMetrics:
    """Counters are of what this process did. The gauges say how the database stands, so that every
    process says the same: a dashboard takes their maximum.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._ambiguous = Counter(
            "stepwell_hosted_batch_ambiguous_submits",
            "Submits of which it was not known whether they arrived.",
            ["tier"],
            registry=registry,
        )
        self._promoted = Counter(
            "stepwell_batch_promotions",
            "Lines that could not wait for a provider's batch any longer.",
            registry=registry,
        )
        self._lines = self._gauge("stepwell_batch_lines", "Lines of open batches.", "state")
        self._hosted = self._gauge("stepwell_hosted_batches", "Batches at providers.", "state")
        self._oldest = Gauge(
            "stepwell_batch_oldest_parked_seconds",
            "For how long the oldest line has been parked; 0 where none is.",
            registry=registry,
            multiprocess_mode="livemax",
        )

    def ambiguous(self, tier: str) -> None:
        self._ambiguous.labels(tier).inc()

    def promoted(self, lines: int) -> None:
        self._promoted.inc(lines)

    def stand(
        self, lines: Mapping[str, int], hosted: Mapping[str, int], oldest_parked_s: float
    ) -> None:
        """Counts by state; every state that there is must be named, also with 0."""
        for state, count in lines.items():
            self._lines.labels(state).set(count)
        for state, count in hosted.items():
            self._hosted.labels(state).set(count)
        self._oldest.set(oldest_parked_s)

    def _gauge(self, name: str, about: str, label: str) -> Gauge:
        return Gauge(name, about, [label], registry=self._registry, multiprocess_mode="livemax")
