"""Which fresh answers are offered to the memory, and for how long they are to be kept."""

import time

from cache.semantic.answer import Answer
from cache.semantic.memory import Offered
from cache.semantic.question import Question, ttl_s
from serving.backend import Call
from serving.settings.semantic import SemanticSettings
from serving.settings.tasks import TaskSettings


def offered(
    question: Question,
    answer: Answer,
    data: bytes,
    *,
    call: Call,
    started: float,
    task: TaskSettings,
    settings: SemanticSettings,
    vector: bytes = b"",
    learn: bool = True,
) -> Offered | None:
    """None where it must not be kept. `data` is the answer as the memory holds it; `call` made it,
    and has looked the question up at `started`, on the monotonic clock.
    """
    if answer.calls_tools and not task.cache.semantic.tool_calls:
        return None
    if len(data) > settings.max_entry_bytes:
        return None
    return Offered(
        question=question,
        vector=vector,
        answer=data,
        cost_usd=call.trace.cost_usd,
        request_id=call.request_id,
        ttl_s=ttl_s(task, question.tags, settings),
        asked_at=time.time() - (time.monotonic() - started),
        learn=learn,
    )
