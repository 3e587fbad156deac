"""What the semantic cache does, in numbers. Its labels are tasks of the configuration and words."""

from collections.abc import Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LOOKUP_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
MAX_CUT = 99.0
"""Stands for a cut from which on nothing may be answered."""


class SemanticMetrics:
    """Gateways count lookups, whoever holds the memory counts the rest."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._lookups = Histogram(
            "stepwell_semantic_lookup_seconds",
            "Lookups by result: hit, exact, merged, miss, late, failed.",
            ["result"],
            buckets=LOOKUP_SECONDS,
            registry=registry,
        )
        self._saved = self._counter("saved_usd", "What semantic hits would have cost.", ["task"])
        self._offers = self._counter(
            "offers", "Answers by what became of them: kept, unfit, dropped, failed.", ["result"]
        )
        self._checks = self._counter(
            "checks",
            "Stored answers compared with fresh ones, of hits and misses: right, wrong, unclear.",
            ["task", "source", "result"],
        )
        self._skipped = self._counter("audits_skipped", "Audits not made, by reason.", ["reason"])
        self._evicted = self._counter("evicted", "Entries forgotten, by reason.", ["reason"])
        self._rates = self._gauge(
            "false_hit_rate",
            "Share of audited hits that were wrong, with the bounds of its 95% interval.",
            ["task", "bound"],
            several="livemostrecent",
        )
        self._cuts = self._gauge(
            "cut",
            "The score from which on hits are given.",
            ["task"],
            several="livemostrecent",
        )
        self._entries = self._gauge("entries", "Answers in memory.")
        self._bytes = self._gauge("bytes", "Memory that they take, with their index.")

    def looked_up(self, result: str, seconds: float) -> None:
        self._lookups.labels(result).observe(seconds)

    def saved(self, task: str, usd: float) -> None:
        self._saved.labels(task).inc(usd)

    def offered(self, result: str) -> None:
        self._offers.labels(result).inc()

    def checked(self, task: str, source: str, *, right: bool | None) -> None:
        result = "unclear" if right is None else "right" if right else "wrong"
        self._checks.labels(task, source, result).inc()

    def skipped(self, reason: str) -> None:
        self._skipped.labels(reason).inc()

    def evicted(self, reason: str, count: int = 1) -> None:
        self._evicted.labels(reason).inc(count)

    def rate(self, task: str, *, estimate: float, low: float, high: float) -> None:
        for bound, value in (("estimate", estimate), ("low", low), ("high", high)):
            self._rates.labels(task, bound).set(value)

    def cut(self, task: str, score: float) -> None:
        self._cuts.labels(task).set(min(score, MAX_CUT))

    def size(self, entries: int, size: int) -> None:
        self._entries.set(entries)
        self._bytes.set(size)

    def _counter(self, name: str, about: str, labels: Sequence[str]) -> Counter:
        return Counter(f"stepwell_semantic_{name}", about, labels, registry=self._registry)

    def _gauge(
        self,
        name: str,
        about: str,
        labels: Sequence[str] = (),
        *,
        several: Literal["livesum", "livemostrecent"] = "livesum",
    ) -> Gauge:
        """`several`: what those of several processes come to. There are two memories while one
        takes over from another.
        """
        return Gauge(
            f"stepwell_semantic_{name}",
            about,
            labels,
            registry=self._registry,
            multiprocess_mode=several,
        )
