"""A threshold for each task, what it has learned, and what of that is still to be written."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from cache.threshold import Cut, Threshold
from serving.settings.tasks import TaskSettings
from serving.telemetry.semantic import SemanticMetrics

_log = structlog.get_logger("stepwell.cache")


VERIFIED = " verified"
"""Behind the name of a task, which holds no space: its hits that a tier has verified. They have a
threshold of their own.
"""


class Cuts:
    """`saved` is what `take_changes` gave before a restart, by task."""

    def __init__(
        self,
        tasks: Callable[[str], TaskSettings],
        saved: Mapping[str, Mapping[str, Any]],
        metrics: SemanticMetrics,
    ) -> None:
        self._tasks = tasks
        self._saved = dict(saved)
        self._metrics = metrics
        self._thresholds: dict[str, Threshold] = {}
        self._changed: set[str] = set()

    def cut(self, task: str) -> Cut:
        return self._of(task).cut

    def looked_up(self, task: str, score: float) -> None:
        """The best candidate of a lookup had this score, whatever came of it."""
        self._of(task).looked_up(score)
        self._changed.add(task)

    def observe(self, task: str, score: float, *, wrong: bool) -> None:
        """The stored answer was, or would have been, wrong or right."""
        threshold = self._of(task)
        threshold.observe(score, wrong=wrong)
        self._changed.add(task)
        self._metrics.cut(task, threshold.cut.score)

    def take_changes(self) -> dict[str, dict[str, Any]]:
        """The states of what has changed since it was asked last."""
        changed, self._changed = self._changed, set()
        return {task: self._thresholds[task].saved() for task in changed}

    def give_back(self, tasks: Mapping[str, object]) -> None:
        """These could not be written, and count as changed again."""
        self._changed |= tasks.keys()

    def _of(self, task: str) -> Threshold:
        """Of a task of the configuration, so they are few."""
        found = self._thresholds.get(task)
        if found is None:
            semantic = self._tasks(task.removesuffix(VERIFIED)).cache.semantic
            found = Threshold(semantic.delta, semantic.confidence)
            self._restore(found, task)
            self._thresholds[task] = found
            self._metrics.cut(task, found.cut.score)
        return found

    def _restore(self, threshold: Threshold, task: str) -> None:
        saved = self._saved.pop(task, None)
        if saved is None:
            return
        try:
            threshold.restore(saved)
        except (ValueError, KeyError, TypeError):
            _log.error("semantic_threshold_unreadable", task=task)
