"""The journal of a line that is parked: what its next run needs to be the same request still.

Its head can be read by any version; all else by the version that wrote it, or it counts as nothing.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Any, Literal

import structlog
from pydantic import TypeAdapter, ValidationError

from serving.backend import Attempt, Decision, Trace, new_id
from serving.batch.values import Parked, Resumed
from serving.batches import Journal, Parking
from serving.wire.chat import ChatRequest

VERSION: Literal[1] = 1
NO_SINKS = {"attempts": {"__all__": {"sink"}}}

_log = structlog.get_logger("stepwell.batch")


@dataclass(frozen=True, slots=True)
class _Head:
    """`turn` counts how often the line was parked; `asked_at` is in Unix seconds."""

    request_id: str
    tier: str
    turn: int
    asked_at: float


@dataclass(frozen=True, slots=True)
class _Past:
    """The trace so far, and what the cascade kept."""

    attempts: tuple[Attempt, ...]
    decisions: tuple[Decision, ...]
    dropped: tuple[str, ...]
    cascade: dict[str, Any] | None
    version: Literal[1] = VERSION


@dataclass(slots=True)
class LineRun:
    """One run of a line: new, or going on where it was parked. Without a `journal` it is answered
    as a live request. `lost`: what it should go on with could not be read.
    """

    request_id: str
    asked_at: float
    journal: Journal | None = None
    trace: Trace = field(default_factory=Trace)
    lost: bool = False

    @property
    def unused(self) -> bool:
        """Whether a result came that is not in the ledger."""
        return self.lost or (self.journal is not None and self.journal.result is not None)

    @property
    def resumes(self) -> bool:
        return self.journal is not None and self.journal.turn > 0

    def parked(self, parking: Parking, tenant: str) -> Parked:
        """What is kept of this run. Attempts must have been judged."""
        assert self.journal is not None, "only a line with a journal is parked"
        head = _Head(self.request_id, parking.tier, self.journal.turn + 1, self.asked_at)
        trace, cascade = self.trace, self.journal.past
        past = _Past(
            tuple(trace.attempts),
            tuple(trace.decisions),
            tuple(trace.dropped),
            None if cascade is None else dict(cascade),
        )
        # Not by orjson, which takes no half of a surrogate pair and no large integer.
        journal = json.dumps(
            {
                "head": _heads().dump_python(head, mode="json"),
                "past": _pasts().dump_python(past, mode="json", exclude=NO_SINKS),
            },
            separators=(",", ":"),
        )
        return Parked(
            tier=parking.tier,
            request=parking.request,
            prefix=prefix_of(parking.request, tenant),
            journal=journal.encode(),
            request_id=self.request_id,
            turn=head.turn,
            output_tokens=max((a.usage.completion_tokens for a in self.trace.attempts), default=0)
            or None,
            unused=self.unused,
        )


def begin(parks: frozenset[str], resumed: Resumed | None) -> LineRun:
    """The run that goes on with `resumed`; a new one where there is nothing to go on with."""
    head, past = (None, None) if resumed is None else _read(resumed.journal)
    if resumed is None or head is None:
        lost = resumed is not None and resumed.result is not None
        journal = Journal(parks) if parks else None
        return LineRun(f"req_{new_id()}", time.time(), journal, lost=lost)
    trace = Trace(started=time.monotonic() - max(0.0, time.time() - head.asked_at))
    cascade = None
    if past is not None:
        trace.attempts += past.attempts
        trace.decisions += past.decisions
        trace.drop(past.dropped)
        cascade = past.cascade
    if resumed.result is not None:
        trace.drop(resumed.dropped)
    journal = Journal(parks, head.turn, head.tier, resumed.result, cascade)
    return LineRun(head.request_id, head.asked_at, journal, trace)


def prefix_of(request: ChatRequest, tenant: str) -> str:
    """A digest of what requests to one model may share at their beginning."""
    digest = blake2b(digest_size=16, person=b"stepwell prefix")
    for part in (tenant, request.model, *_prefix(request)):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


def _prefix(request: ChatRequest) -> Iterator[str]:
    for tool in request.tools or ():
        yield json.dumps(tool.model_dump(mode="json", exclude_unset=True), sort_keys=True)
    for message in request.messages:
        if message.role not in {"system", "developer"}:
            return
        yield json.dumps(message.model_dump(mode="json", exclude_unset=True), sort_keys=True)


def _read(journal: bytes) -> tuple[_Head | None, _Past | None]:
    try:
        found = json.loads(journal)
        head = _heads().validate_python(found["head"])
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("journal_unreadable", error=type(error).__name__)
        return None, None
    try:
        return head, _pasts().validate_python(found["past"])
    except (ValidationError, KeyError) as error:
        # No more than that: what is wrong in it may quote an answer.
        _log.warning("journal_unreadable", request_id=head.request_id, error=type(error).__name__)
        return head, None


@cache
def _heads() -> TypeAdapter[_Head]:
    return TypeAdapter(_Head)


@cache
def _pasts() -> TypeAdapter[_Past]:
    """Made when it is first needed, since that takes some milliseconds."""
    return TypeAdapter(_Past)
