"""Metrics with labels that are bounded by the configuration."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

M = TypeVar("M", bound=MetricWrapperBase)


class Family(Generic[M]):
    """A metric whose labelled children are remembered: finding one takes longer than counting. The
    labels are bounded, so are they.
    """

    def __init__(self, metric: M) -> None:
        self._metric = metric
        self._children: dict[tuple[str, ...], M] = {}

    def labels(self, *values: str) -> M:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values)
        return child


def counter_of(
    registry: CollectorRegistry, name: str, about: str, labels: Sequence[str]
) -> Family[Counter]:
    return Family(Counter(name, about, labels, registry=registry))


def histogram_of(
    registry: CollectorRegistry, name: str, about: str, labels: Sequence[str]
) -> Family[Histogram]:
    return Family(Histogram(name, about, labels, buckets=SECONDS, registry=registry))
