"""Audit records: critical requests in full."""

import uuid
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import structlog

from serving.backend import Attempt, Call, Trace
from serving.errors import Overloaded
from serving.storage.database import Database
from serving.storage.schema import audits
from serving.storage.upsert import upsert
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from serving.wire.render import render_completion

ALL_LOGPROBS = 20
INTERNAL = frozenset({"sink", "usage"})  # of an attempt: wiring, and what is spread out

_log = structlog.get_logger("stepwell.storage")


class AuditLog:
    """Stores requests, answers and route traces in the table `audits`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, call: Call, request: ChatRequest, completion: Completion | None) -> None:
        """Commits the record; `completion` is None where no answer was given. `Overloaded` where
        it cannot be stored, since such an answer must not leave unrecorded.
        """
        row = {
            "id": f"aud_{uuid.uuid4().hex}",
            "request_id": call.request_id,
            "created_at": datetime.now(UTC),
            "tenant": call.tenant,
            "task": call.task,
            "request": request.model_dump(mode="json", exclude_unset=True, by_alias=True),
            "response": None if completion is None else _response(completion),
            "trace": _trace(call.trace),
        }
        try:
            await self._database.write(lambda c: upsert(c, audits, [row]))
        except Exception as error:
            # Only the kind: the message holds the statement's parameters, hence the prompt.
            _log.error("audit_failed", request_id=call.request_id, error=type(error).__name__)
            raise Overloaded(
                "the audit record of this request cannot be stored", code="audit_unavailable"
            ) from None


def _response(completion: Completion) -> dict[str, Any]:
    return render_completion(
        completion, answer_id=completion.id, model=completion.model, top_logprobs=ALL_LOGPROBS
    )


def _trace(trace: Trace) -> dict[str, Any]:
    return {
        "tier": trace.tier,
        "cache": trace.cache,
        "best_effort": trace.best_effort,
        "degraded": trace.degraded,
        "dropped": list(trace.dropped),
        "decisions": [asdict(d) for d in trace.decisions],
        "attempts": [_attempt(a) for a in trace.attempts],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    own = {f.name: getattr(attempt, f.name) for f in fields(attempt) if f.name not in INTERNAL}
    return own | asdict(attempt.usage)
