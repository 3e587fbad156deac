"""The metrics of all processes on a node, in one answer."""

import os
import uuid
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, multiprocess, values

from serving.errors import Overloaded
from serving.telemetry.archive import UNREADABLE, readable
from serving.telemetry.directory import MetricsDirectory, Process

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_VALUES: Any = values  # these two come without types
_COLLECTOR: Any = multiprocess.MultiProcessCollector


class Processes:
    """This process among those that keep their metrics in `path`.

    From now on every metric that this process makes, with prometheus_client and whoever makes it,
    is kept there: so make it before the metrics, and once in a process. It needs no environment
    variable set beforehand. `ConfigError` where the directory cannot be written.
    """

    def __init__(self, path: Path, role: str) -> None:
        self._directory = MetricsDirectory(path)
        identity = uuid.uuid4().hex
        self._alive: int | None = self._directory.join(Process(identity, os.getpid(), role))
        # What the variable does where it is set before the library's first import, done here,
        # since only the process that has metrics may have it: Ray's own agents use the library too.
        os.environ[VARIABLE] = str(path)
        self._before = _VALUES.ValueClass
        _VALUES.ValueClass = _VALUES.MultiProcessValue(lambda: identity)

    def registry(self) -> CollectorRegistry:
        """What all of them have counted until now, those that are gone included. Reads files and
        may wait for another process's scrape (`Overloaded` after 5 s): call it in a thread.
        """
        try:
            with self._directory.locked():
                self._directory.bury()
                living = self._directory.living()
                found = _merged(self._directory.files())
        except TimeoutError:
            raise Overloaded(
                "another process is reading the metrics and does not end", code="metrics_busy"
            ) from None
        registry = CollectorRegistry()
        registry.register(_Found([*found, *_process_metrics(living)]))
        return registry

    def close(self) -> None:
        """Leaves; what was counted until now stays in the sums, and what is counted later goes
        nowhere.
        """
        if self._alive is None:
            return
        os.close(self._alive)
        self._alive = None
        _VALUES.ValueClass = self._before
        os.environ.pop(VARIABLE, None)


class _Found:
    """A collector of metrics that are there already."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _merged(files: Sequence[Path]) -> list[Metric]:
    whole = [file for file in files if file.stat().st_size > 0]
    try:
        return list(_COLLECTOR.merge([str(file) for file in whole]))
    except UNREADABLE:  # one bad file must not hide the others
        return list(_COLLECTOR.merge([str(file) for file in readable(whole)]))


def _process_metrics(living: Iterable[Process]) -> list[Metric]:
    """CPU time, memory and files of each process, labelled with what it is."""
    families: dict[str, Metric] = {}
    for process in sorted(living, key=lambda p: p.pid):
        labels = {"role": process.role, "pid": str(process.pid)}
        own = ProcessCollector(pid=partial(int, process.pid), registry=None)
        for metric in own.collect():
            family = families.setdefault(
                metric.name, Metric(metric.name, metric.documentation, metric.type)
            )
            for sample in metric.samples:
                family.add_sample(sample.name, labels, sample.value)
    return list(families.values())
