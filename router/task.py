"""Which task class a request belongs to."""

from dataclasses import dataclass

from serving.backend import Call
from serving.settings.root import Settings
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest


@dataclass(frozen=True, slots=True)
class TaskDecision:
    task: TaskSettings
    reason: str


class TaskClassifier:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def classify(self, request: ChatRequest, call: Call) -> TaskDecision:
        raise NotImplementedError
