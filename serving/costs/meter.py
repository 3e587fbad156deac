"""The meter of one call at one tier."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from serving.backend import Attempt
from serving.costs.bill import bill, bill_nothing
from serving.costs.ledger import Ledger
from serving.costs.price import Price
from serving.errors import (
    ClientError,
    StepwellError,
    TierMisconfigured,
    TierRateLimited,
    TierRejected,
    TierUnavailable,
)
from serving.wire.completion import Chunk, Completion, Usage
from serving.wire.embeddings import Embeddings

# Nothing is billed where the tier refused the call or was never reached. Once an answer has begun
# its prompt has been read, and costs something whatever broke it off.
UNBILLED = (ClientError, TierRejected, TierMisconfigured, TierRateLimited, TierUnavailable)


class Meter:
    """Fills in an attempt's figures. As a context manager it sees how the call ends: figures that
    are still missing become upper bounds, and an error or a cancellation is judged.
    """

    def __init__(
        self,
        attempt: Attempt,
        bound: Callable[[str | None], Usage],
        *,
        price: Price | None,
        ledger: Ledger,
        above: Callable[[], Price | None] = lambda: None,
    ) -> None:
        """`bound`: the most that the call can have used, given what has arrived of an answer that
        broke off; given None, whatever may have been generated unseen. `above`, asked once the
        answer is there: the price of the tier where it would have come from without waiting.
        """
        self.attempt = attempt
        self._bound = bound
        self._price = price
        self._above = above
        self._ledger = ledger
        self._started = time.perf_counter()
        self._left = False
        self._settled = False
        self._began = False
        self._pieces: list[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if not self._settled:
            self._break_off(error)
        elif isinstance(error, GeneratorExit):
            return  # its reader stops behind the usage chunk, which is no breaking off
        if error is not None:
            self._judge(error)

    def expect_the_most(self) -> None:
        """Until more is known, the attempt stands at the most that it can come to."""
        self._bill(self._bound(None), at_most=True)

    def leaves(self) -> None:
        """From here on the tier may bill."""
        self._left = True

    def embedded(self, embeddings: Embeddings) -> Usage:
        """The vectors came; the usage that they are billed with, estimated where they have none."""
        return self._settle(embeddings.usage, "")

    def answered(self, completion: Completion) -> Usage:
        """A whole answer came; the usage that it is billed with, estimated where it has none."""
        text = "".join(
            f"{c.content or ''}{c.refusal or ''}{c.reasoning or ''}"
            + "".join(f"{t.name or ''}{t.arguments}" for t in c.tool_calls)
            for c in completion.choices
        )
        return self._settle(completion.usage, text)

    def streams(self) -> None:
        """The answer will come in pieces."""
        self._pieces = []

    def saw(self, chunk: Chunk) -> None:
        """A piece of a streamed answer came, be it one without any text."""
        self._began = True
        text = [t for t in (chunk.content, chunk.refusal, chunk.reasoning) if t]
        text += [f"{t.name or ''}{t.arguments}" for t in chunk.tool_calls]
        if not text:
            return
        if self.attempt.ttft_ms is None:
            self.attempt.ttft_ms = self._elapsed_ms()
        if self._pieces is not None:
            self._pieces += text

    def ended(self, usage: Usage) -> Usage:
        """The stream's usage came; the usage that it is billed with, as for `answered`."""
        return self._settle(usage, "".join(self._pieces or ()))

    def _settle(self, usage: Usage, text: str) -> Usage:
        if usage.prompt_tokens <= 0:  # the tier does not count, and no request is empty
            bound = self._bound(text)
            generated = usage.completion_tokens or bound.completion_tokens
            usage = replace(bound, completion_tokens=generated)
        self._bill(usage, at_most=usage.estimated)
        self._finish()
        return usage

    def _break_off(self, error: BaseException | None) -> None:
        text = None if self._pieces is None else "".join(self._pieces)
        if not self._left or (isinstance(error, UNBILLED) and not self._began):
            bill_nothing(self.attempt)
        else:
            self._bill(self._bound(text), at_most=True)
        self._finish()

    def _finish(self) -> None:
        self._settled = True
        self.attempt.latency_ms = self._elapsed_ms()
        self._ledger.settle(self.attempt)

    def _judge(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            code = error.code if isinstance(error, StepwellError) else None
            self.attempt.error = code or type(error).__name__
            self.attempt.judge("failed", self.attempt.error)
            return
        # Cancelled or closed early, and the one who did it may know better why: whoever judges the
        # attempt in the same turn of the loop comes first.
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a generator that is finalised after its loop
            self.attempt.judge("cancelled", "cancelled")
        else:
            loop.call_soon(self.attempt.judge, "cancelled", "cancelled")

    def _bill(self, usage: Usage, *, at_most: bool) -> None:
        bill(self.attempt, self._price, usage, at_most=at_most, above=self._above())

    def _elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._started) * 1_000, 3)
