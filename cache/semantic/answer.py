"""An answer as the semantic cache keeps it: JSON of the completion and of its origin."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson
from pydantic import ValidationError

from cache.keep import keepable, maker_of, without_logprobs
from serving.backend import Call
from serving.wire.completion import Completion

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Answer:
    """An accepted answer. `tier`, `model` and `simulated` are those of the attempt that made it,
    `attempt_id` its row in the ledger; `dropped` names parameters that could not be honoured.
    """

    completion: Completion
    tier: str
    model: str
    simulated: bool
    dropped: tuple[str, ...]
    attempt_id: str

    @property
    def calls_tools(self) -> bool:
        return any(choice.tool_calls for choice in self.completion.choices)


def answer_of(completion: Completion, call: Call) -> Answer | None:
    """None where it must not be kept."""
    maker = maker_of(call)
    if maker is None or not keepable(completion, call):
        return None
    return Answer(
        completion=without_logprobs(completion),
        tier=maker.tier,
        model=maker.model,
        simulated=maker.simulated,
        dropped=tuple(call.trace.dropped),
        attempt_id=maker.id,
    )


def dump(answer: Answer) -> bytes:
    """`ValueError` where it has no JSON form (half of a surrogate pair)."""
    try:
        return orjson.dumps(answer)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise ValueError("the answer has no JSON form") from error


def load(data: bytes) -> Answer:
    """What `dump` was given; `ValueError` where it is something else."""
    try:
        return _adapter().validate_json(data)
    except ValidationError as error:
        raise ValueError("not an answer") from error


@lru_cache(1)
def _adapter() -> "TypeAdapter[Answer]":
    """Made when it is first needed, since that takes some milliseconds."""
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(Answer)
