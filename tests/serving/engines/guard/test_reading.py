"""What an ending says about a tier, and what it does not."""

import asyncio

import pytest

from serving.engines.guard.reading import Ending, Reading, read
from serving.errors import (
    InvalidRequest,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)

ALIVE, UNKNOWN = Reading("alive"), Reading("unknown")
TOO_SLOW = Reading("fault", "overload")


@pytest.mark.parametrize(
    ("error", "reading"),
    [
        (None, Reading("alive", "good")),
        (TierRateLimited("", retry_after=7.0), Reading("alive", "overload", 7.0)),
        (TierUnavailable("", retry_after=3.0), Reading("fault", "overload", 3.0)),
        (TierUnavailable(""), Reading("fault", "overload")),
        (TierProtocolError(""), Reading("fault")),
        (TierRejected(""), ALIVE),
        (TierMisconfigured(""), ALIVE),
        (InvalidRequest(""), UNKNOWN),
        (RuntimeError(""), UNKNOWN),
    ],
)
def test_errors(error: BaseException | None, reading: Reading) -> None:
    assert read(Ending(error, share=0.1, left_s=30)) == reading


@pytest.mark.parametrize(
    ("share", "left_s", "reading"),
    [
        (1.0, 30.0, TOO_SLOW),
        (0.95, -0.01, TOO_SLOW),
        (0.1, 30.0, TOO_SLOW),  # the tier itself gave up
        (0.1, 0.01, UNKNOWN),  # the request was in a hurry
        (0.1, -1.0, UNKNOWN),
    ],
)
def test_a_timeout_counts_where_the_tier_had_its_time(
    share: float, left_s: float, reading: Reading
) -> None:
    assert read(Ending(TierTimeout(""), share, left_s)) == reading


def test_a_cancellation_counts_where_the_tier_had_its_time() -> None:
    cancelled = asyncio.CancelledError()
    assert read(Ending(cancelled, share=0.95, left_s=30)) == TOO_SLOW
    assert read(Ending(cancelled, share=0.2, left_s=30)) == UNKNOWN


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), TierTimeout("")])
def test_a_stream_that_began_shows_life_however_long_it_took(error: BaseException) -> None:
    assert read(Ending(error, share=5.0, left_s=30, began=True)) == ALIVE


def test_a_stream_that_breaks_off_is_a_fault() -> None:
    assert read(Ending(TierProtocolError(""), 0.5, 30, began=True)) == Reading("fault")
