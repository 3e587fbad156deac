"""What crosses between a gateway and the process that hosts a tier. Plain values, cheap to pickle;
an error is a value too, so that it arrives as what it was.
"""

import time
from dataclasses import dataclass

from serving.backend import Call, CallKind, Decision, Trace, Urgency
from serving.errors import StepwellError
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion
from serving.wire.pickling import by_values


@by_values
@dataclass(frozen=True, slots=True)
class Asked:
    """A request on its way: its JSON, and of its call what a tier may need. Monotonic clocks differ
    between hosts, so the deadline travels as the seconds that are left.
    """

    body: bytes
    request_id: str
    tenant: str
    left_s: float
    key_id: str | None
    feature: str | None
    task: str | None
    session: str | None
    step: str | None
    kind: CallKind
    urgency: Urgency


@by_values
@dataclass(frozen=True, slots=True)
class Notes:
    """What the tier's side adds to the route trace."""

    dropped: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()

    def add_to(self, trace: Trace) -> None:
        trace.drop(self.dropped)
        for decision in self.decisions:
            trace.note(decision.stage, decision.decision, decision.reason)


@by_values
@dataclass(frozen=True, slots=True)
class Answered:
    completion: Completion
    notes: Notes


@by_values
@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a stream; `error` is None where it is a good one."""

    notes: Notes
    error: StepwellError | None = None


Reply = Answered | Ended
"""Of a call that is not streamed; `Ended` says why there is no answer."""

Batch = tuple[Chunk, ...] | Ended
"""Of a stream: the chunks that were ready together, and at last its end."""


def pack(request: ChatRequest, call: Call) -> Asked:
    return asked_with(request.model_dump_json(exclude_unset=True, by_alias=True).encode(), call)


def asked_with(body: bytes, call: Call) -> Asked:
    """`call` with a body that its receiver knows how to read."""
    return Asked(
        body=body,
        request_id=call.request_id,
        tenant=call.tenant,
        left_s=call.remaining,
        key_id=call.key_id,
        feature=call.feature,
        task=call.task,
        session=call.session,
        step=call.step,
        kind=call.kind,
        urgency=call.urgency,
    )


def unpack(asked: Asked) -> tuple[ChatRequest, Call]:
    """The request, and a call with a trace of its own."""
    return ChatRequest.model_validate_json(asked.body), call_of(asked)


def call_of(asked: Asked) -> Call:
    """A call with a trace of its own."""
    return Call(
        request_id=asked.request_id,
        tenant=asked.tenant,
        deadline=time.monotonic() + asked.left_s,
        key_id=asked.key_id,
        feature=asked.feature,
        task=asked.task,
        session=asked.session,
        step=asked.step,
        kind=asked.kind,
        urgency=asked.urgency,
    )


def notes_of(call: Call) -> Notes:
    return Notes(tuple(call.trace.dropped), tuple(call.trace.decisions))
