"""What the cascade keeps of a request that is parked: what each tier came to, and the answers in
hand. JSON values of a known version; what cannot be read is nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import structlog
from pydantic import TypeAdapter, ValidationError

from router.steps import Answered, Outcome
from serving.wire.completion import Completion

VERSION: Literal[1] = 1

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """`attempt` is the id of the one that gave it, None where it was not metered."""

    completion: Completion
    attempt: str | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Kept:
    """`answers` by the names of their tiers: one for each outcome that is an answer."""

    outcomes: tuple[Outcome, ...] = ()
    answers: Mapping[str, KeptAnswer] = field(default_factory=dict)
    version: Literal[1] = VERSION


NOTHING = Kept()


def dump(kept: Kept) -> dict[str, Any]:
    """JSON values; `load` gives the same back."""
    dumped: dict[str, Any] = _adapter().dump_python(kept, mode="json")
    return dumped


def load(past: Mapping[str, Any] | None) -> Kept:
    """`NOTHING` where there is none, or none that this version can read."""
    if past is None:
        return NOTHING
    try:
        kept = _adapter().validate_python(past)
    except ValidationError as error:
        # What is wrong may quote an answer, so only where it is wrong is told.
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
    else:
        if {o.tier for o in kept.outcomes if isinstance(o, Answered)} == kept.answers.keys():
            return kept
        where = "answers"
    _log.warning("journal_unreadable", at=where, version=past.get("version"))
    return NOTHING


@cache
def _adapter() -> TypeAdapter[Kept]:
    """Made when it is first needed, since that takes some milliseconds."""
    return TypeAdapter(Kept)
