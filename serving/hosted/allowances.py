"""Anthropic's rate-limit headers as allowances."""

import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from serving.allowance import Allowance, Unit

PREFIX = "anthropic-ratelimit-"
MINUTE_S = 60.0
"""Limits are per minute: a reset that seems further away is a clock that is wrong."""
UNITS: Mapping[str, Unit] = {
    "requests": "calls",
    "input-tokens": "input_tokens",
    "output-tokens": "output_tokens",
    "tokens": "tokens",
}


def allowances(headers: Mapping[str, str]) -> tuple[Allowance, ...]:
    """What the headers of an answer say is left; a limit that they do not state in full is left
    out. Times of reset are points in time, so they are taken from the answer's own `date` where it
    has one: the server's clock need not be ours.
    """
    now = _said_at(headers)
    found = (_allowance(headers, name, unit, now) for name, unit in UNITS.items())
    return tuple(a for a in found if a is not None)


def _allowance(headers: Mapping[str, str], name: str, unit: Unit, now: float) -> Allowance | None:
    try:
        limit = int(headers[f"{PREFIX}{name}-limit"])
        remaining = int(headers[f"{PREFIX}{name}-remaining"])
        reset = datetime.fromisoformat(headers[f"{PREFIX}{name}-reset"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None
    if limit <= 0 or remaining < 0:
        return None
    reset_s = min(max(0.0, reset - now), MINUTE_S)
    return Allowance(unit, limit, min(remaining, limit), reset_s)


def _said_at(headers: Mapping[str, str]) -> float:
    """When the answer was written, in Unix seconds."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return time.time()
