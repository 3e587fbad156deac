"""What a tier's token logprobs say about how sure it was of an answer.

All figures are in nats per token (natural log; 0 is certain). The mean is the length-normalised
log-probability of the sequence, `1/T * sum(log p(token_t | before))`, so answers of different
length compare; perplexity is `exp(-mean)`.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serving.wire.completion import Choice, TokenLogprob

LOGPROB_FLOOR = -20.0
"""Servers write -9999 or -inf for "below what we track". One such token must not decide over a
whole answer, so a token counts for no less than p = 2e-9."""


@dataclass(frozen=True, slots=True)
class Signals:
    """`mean` over all `tokens`; `min_window` is the lowest mean of any run of `window` consecutive
    tokens, and equals `mean` where there are no more tokens than that.
    """

    mean: float
    min_window: float
    tokens: int


class PrefixSignals:
    """The signals of the tokens seen so far, updated in constant time per token."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._last: deque[float] = deque(maxlen=window)
        self._sum = 0.0
        self._window_sum = 0.0
        self._lowest = 0.0
        self._tokens = 0

    @property
    def tokens(self) -> int:
        return self._tokens

    def add(self, logprobs: Iterable[TokenLogprob]) -> None:
        for token in logprobs:
            self._add(_clamped(token.logprob))

    def _add(self, value: float) -> None:
        if len(self._last) == self._window:
            self._window_sum -= self._last[0]
        self._last.append(value)
        self._sum += value
        self._window_sum += value
        self._tokens += 1
        first = self._tokens == self._window
        if first or (self._tokens > self._window and self._window_sum < self._lowest):
            self._lowest = self._window_sum

    @property
    def signals(self) -> Signals | None:
        """None before the first token."""
        if self._tokens == 0:
            return None
        mean = self._sum / self._tokens
        if self._tokens <= self._window:
            return Signals(mean, mean, self._tokens)
        return Signals(mean, self._lowest / self._window, self._tokens)


def of_tokens(logprobs: Sequence[TokenLogprob] | None, window: int) -> Signals | None:
    """The signals of one answer; None where it has no logprobs."""
    so_far = PrefixSignals(window)
    so_far.add(logprobs or ())
    return so_far.signals


def of_choices(choices: Sequence[Choice], window: int) -> Signals | None:
    """The worst of several answers, each figure on its own: all of them go to the client, so the
    least sure one decides. Choices without logprobs don't count; None where none has any.
    """
    found = [s for c in choices if (s := of_tokens(c.logprobs, window)) is not None]
    if not found:
        return None
    return Signals(
        mean=min(s.mean for s in found),
        min_window=min(s.min_window for s in found),
        tokens=min(s.tokens for s in found),
    )


def _clamped(logprob: float) -> float:
    """Between the floor and 0; NaN counts as the floor, rounding above 0 as 0."""
    return min(0.0, logprob) if logprob > LOGPROB_FLOOR else LOGPROB_FLOOR
