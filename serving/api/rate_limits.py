"""Requests per minute of one key: a moving window in this process's memory."""

import time
from dataclasses import dataclass
from math import ceil

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from serving.api.auth import Caller


@dataclass(frozen=True, slots=True)
class RateState:
    """Where a key stands after this request. `reset_s`: seconds until the oldest request leaves the
    window, so until one more is allowed where none remains.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_s: float

    @property
    def headers(self) -> dict[str, str]:
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": _span(self.reset_s),
        }


class RateLimits:
    """Counts one request per call; a key without a limit costs nothing."""

    def __init__(self) -> None:
        self._window: MovingWindowRateLimiter | None = None

    def hit(self, caller: Caller) -> RateState | None:
        """None where the key has no limit. A refused request does not count."""
        limit = caller.limits.requests_per_minute
        if limit is None or caller.key_id is None:
            return None
        if self._window is None:
            self._window = MovingWindowRateLimiter(MemoryStorage())
        per_minute = RateLimitItemPerMinute(limit)
        allowed = self._window.hit(per_minute, caller.key_id)
        stats = self._window.get_window_stats(per_minute, caller.key_id)
        reset_s = max(0.0, stats.reset_time - time.time())
        return RateState(allowed, limit, max(0, stats.remaining), reset_s)


def _span(seconds: float) -> str:
    """As OpenAI writes it: 250ms, 7s, 6m0s."""
    if seconds < 1:
        return f"{ceil(seconds * 1_000)}ms"
    whole = ceil(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"
