"""How long a server asks to be left alone."""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 86_400.0
"""A server that asks for more is asked again after a day."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until a retry may succeed, at most a day; None where the headers (with names in
    lower case, or of any case where `headers` looks them up so) say nothing usable. Read are
    `retry-after-ms`, and `retry-after` as seconds or as a date (RFC 9110, section 10.2.3).
    """
    text = headers.get("retry-after-ms")
    if text is not None:
        return _seconds(text, 1e-3)
    text = headers.get("retry-after")
    if text is None:
        return None
    found = _seconds(text, 1.0)
    if found is not None:
        return found
    try:
        left = parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, min(left, MAX_RETRY_AFTER_S))


def _seconds(text: str, unit: float) -> float | None:
    try:
        value = float(text) * unit
    except ValueError:
        return None
    return min(value, MAX_RETRY_AFTER_S) if math.isfinite(value) and value >= 0 else None
