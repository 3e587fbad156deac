"""Values that cross between processes arrive as they left, and as cheaply as promised."""

import pickle
from dataclasses import fields
from typing import Any

import pytest

from serving.backend import Decision
from serving.engines.remote.wire import Answered, Asked, Ended, Notes
from serving.errors import TierUnavailable
from serving.wire.completion import (
    Choice,
    Chunk,
    Completion,
    TokenLogprob,
    ToolCallPart,
    TopLogprob,
    Usage,
)

LOGPROBS = (TokenLogprob("a", -0.1, (TopLogprob("a", -0.1), TopLogprob("b", -2.5))),)
CHOICE = Choice(1, "a", (ToolCallPart(0, "call_1", "f", "{}"),), "length", logprobs=LOGPROBS)
USAGE = Usage(10, 20, cached_tokens=3, estimated=True, cache_miss_reason="expired")
COMPLETION = Completion("id", 1, "model", (CHOICE,), USAGE)
NOTES = Notes(("seed",), (Decision("gate", "accept", "why", 1.5),))


@pytest.mark.parametrize(
    "value",
    [
        COMPLETION,
        Chunk("id", 1, "model", role="assistant", logprobs=LOGPROBS, usage=USAGE),
        Answered(COMPLETION, NOTES),
        Asked(b"{}", "req", "acme", 1.5, None, None, "task", None, None, "attempt", "interactive"),
        NOTES,
    ],
    ids=lambda value: type(value).__name__,
)
def test_round_trip(value: object) -> None:
    found = pickle.loads(pickle.dumps(value))
    assert found == value
    assert type(found) is type(value)
    assert value.__reduce__()[0] is type(value)  # no walk over the fields


def test_every_field_travels() -> None:
    """A field that is not given to `__init__` would be lost on the way."""
    kinds: list[Any] = [Usage, TopLogprob, TokenLogprob, ToolCallPart, Choice, Completion, Chunk]
    for kind in [*kinds, Asked, Notes, Answered, Ended, Decision]:
        assert all(field.init for field in fields(kind))


def test_errors_arrive_as_what_they_were() -> None:
    sent = Ended(NOTES, TierUnavailable("down", code="circuit_open", retry_after=2.0))
    found = pickle.loads(pickle.dumps(sent))
    assert isinstance(found.error, TierUnavailable)
    assert (found.error.message, found.error.retry_after) == ("down", 2.0)
    assert found.notes == NOTES
