"""The outermost wrapper of the router: which task class a request belongs to."""

from dataclasses import replace

from router.task import TaskClassifier
from serving.backend import Backend, Call, ChunkStream
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion


class Classified:
    """Everything below sees the chosen class in `call.task`; the trace says why it was chosen."""

    def __init__(self, inner: Backend, classifier: TaskClassifier) -> None:
        self._inner = inner
        self._classifier = classifier

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        return await self._inner.complete(request, self._classify(request, call))

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        return self._inner.stream(request, self._classify(request, call))

    def _classify(self, request: ChatRequest, call: Call) -> Call:
        decision = self._classifier.classify(request, call)
        call.trace.note("task", decision.task.name, decision.reason)
        return replace(call, task=decision.task.name)
