"""Rate limits per workspace and minute, and the headers that report them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cachetools import LRUCache

from serving.hosted.emulator.errors import ApiError

WINDOW_S = 60.0


@dataclass(slots=True)
class _Window:
    started: float
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class RateLimits:
    """Fixed windows of a minute. `clock` counts seconds, `date` gives the date of such a moment.
    Cache reads do not count as input.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        date: Callable[[float], datetime],
        requests: int,
        tokens: int,
    ) -> None:
        self._clock, self._date = clock, date
        self._requests, self._tokens = requests, tokens
        self._windows: LRUCache[str, _Window] = LRUCache(10_000)

    def admit(self, workspace: str) -> None:
        """Counts a request; the 429 with `retry-after` where the minute is used up."""
        window = self._window(workspace)
        if window.requests >= self._requests or window.input_tokens >= self._tokens:
            wait = max(1, math.ceil(window.started + WINDOW_S - self._clock()))
            headers = {"retry-after": str(wait), **self.headers(workspace)}
            message = "This request would exceed your organization's rate limit."
            raise ApiError(429, message, headers=headers)
        window.requests += 1

    def count(self, workspace: str, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        window = self._window(workspace)
        window.input_tokens += input_tokens
        window.output_tokens += output_tokens

    def headers(self, workspace: str) -> dict[str, str]:
        window = self._window(workspace)
        reset = self._date(window.started + WINDOW_S).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = {
            "requests": (self._requests, window.requests),
            "tokens": (self._tokens, window.input_tokens + window.output_tokens),
            "input-tokens": (self._tokens, window.input_tokens),
            "output-tokens": (self._tokens, window.output_tokens),
        }
        return {
            f"anthropic-ratelimit-{name}-{field}": value
            for name, (limit, used) in found.items()
            for field, value in (
                ("limit", str(limit)),
                ("remaining", str(max(0, limit - used))),
                ("reset", reset),
            )
        }

    def _window(self, workspace: str) -> _Window:
        now = self._clock()
        window = self._windows.get(workspace)
        if window is None or now >= window.started + WINDOW_S:
            window = self._windows[workspace] = _Window(now)
        return window
