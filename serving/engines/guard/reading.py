"""What the end of a call says about its tier, as a pure decision."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from serving.engines.guard.breaker import Health
from serving.errors import (
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)

FULL_SHARE = 0.9
"""A call without an answer after this share of the tier's deadline had its time. Whoever asked may
cancel it a moment before the adapter notices, so the whole of it is never reached.
"""

OUT_OF_TIME_S = 0.05
"""With less time left than this, a timeout was the request's own deadline."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended: `error` is None where it came to its end. `share` is the part of the tier's
    deadline that it ran, `left_s` what the request had left, `began` whether any chunk had come.
    """

    error: BaseException | None
    share: float
    left_s: float
    began: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """`load`: whether the tier took the call well or was asked too much; `pause_s`: how long it
    wants to be left alone.
    """

    health: Health
    load: Literal["good", "overload", "unknown"] = "unknown"
    pause_s: float | None = None


GOOD = Reading("alive", "good")
UNKNOWN = Reading("unknown")


def read(ending: Ending) -> Reading:
    """Refusals and rate limits are signs of life. A timeout is a fault only where the tier had its
    time: neither a client that leaves nor one in a great hurry may take a tier from the others.
    """
    error = ending.error
    match error:
        case None:
            return GOOD
        case TierRateLimited():
            return Reading("alive", "overload", error.retry_after)
        case TierUnavailable():
            return Reading("fault", "overload", error.retry_after)
        case TierProtocolError():
            return Reading("fault")
        case TierTimeout() | asyncio.CancelledError() if _too_slow(ending):
            return Reading("fault", "overload")
    # A tier that is misconfigured may say when it is worth asking again.
    pause_s = error.retry_after if isinstance(error, TierMisconfigured) else None
    alive = ending.began or isinstance(error, TierRejected | TierMisconfigured)
    return Reading("alive", pause_s=pause_s) if alive else UNKNOWN


def _too_slow(ending: Ending) -> bool:
    if ending.began:
        return False
    gave_up = isinstance(ending.error, TierTimeout) and ending.left_s > OUT_OF_TIME_S
    return gave_up or ending.share >= FULL_SHARE
