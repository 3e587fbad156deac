"""The recorder: every attempt, cache hit, check and embedding passes here once as one row.

What becomes of a row: `open` makes the attempt; `judge` on it gives it its outcome and, once its
figures are complete, puts it into the buffer, which is written every flush interval. A hosted call
is written as an intent before it leaves, with the most that it can cost, and that row is replaced
when the call is settled; an intent whose process died stays, so that the report can show it.

A killed process loses at most one flush interval of rows of unbilled work. While the database is
down, rows stay in memory; once the buffer is full, new work is refused (`admit`), never recorded
work dropped.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import structlog

from serving.backend import Attempt, Call, Kind, new_id
from serving.costs.bill import FREE, bill_nothing
from serving.costs.price import Price
from serving.costs.rows import INTENT, attempt_row
from serving.errors import Overloaded, TierUnavailable
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.storage.writer import BatchWriter
from serving.wire.completion import Usage

Observer = Callable[[Attempt, Call], None]

INTENT_TIMEOUT_S = 10.0
CHECKS: frozenset[Kind] = frozenset({"spot_check", "cache_check"})
SWEEP_INTERVAL_S = 1.0
OVERDUE_S = 60.0  # past its deadline, after which an attempt that nobody judged is written as open

_log = structlog.get_logger("stepwell.ledger")


@dataclass(slots=True, eq=False)
class _Entry:
    """An attempt on its way into the ledger, and its sink. `settled`: its usage, cost and times
    are complete. `intended`: an intent row stands for it.
    """

    attempt: Attempt
    call: Call
    settled: bool
    record: Callable[["_Entry"], None]
    intended: bool = False
    recorded: bool = False

    def __call__(self, _attempt: Attempt) -> None:
        self.record(self)


class Ledger:
    """Records attempts in the table `attempts`. Belongs to one event loop."""

    def __init__(
        self,
        database: Database,
        *,
        baseline: Price | None,
        baseline_tier: str | None = None,
        flush_interval_s: float,
        max_buffered_rows: int,
        observers: Sequence[Observer] = (),
    ) -> None:
        """`baseline` prices what the baseline tier would have cost; an attempt at `baseline_tier`
        itself has its own cost as baseline. `observers` hear of each attempt once, when it is
        judged and its figures are complete; what they raise is logged.
        """
        self._baseline = baseline
        self._baseline_tier = baseline_tier
        self._observers = tuple(observers)
        self._entries: dict[str, _Entry] = {}
        self._next_sweep = 0.0
        self._hard_limit = 2 * max_buffered_rows
        self._writer = BatchWriter(
            database,
            attempts,
            flush_interval_s=flush_interval_s,
            max_rows=max_buffered_rows,
            before_flush=self._put_overdue,
        )

    async def start(self) -> None:
        """Starts the background flush."""
        await self._writer.start()

    async def close(self) -> None:
        """Writes all that is known: rows in the buffer, and attempts that nobody judged as open.
        An intent that is not settled stays as it is.
        """
        for entry in self._entries.values():
            if entry.settled or not entry.intended:
                self._put(entry)
        await self._writer.close()

    async def flush(self) -> None:
        """Writes all rows recorded so far; raises what the database raises, the rows kept."""
        await self._writer.flush()

    async def admit(self) -> None:
        """Waits until the buffer has room for one more row; `Overloaded` where the database takes
        none. Called before work that will be recorded.
        """
        if not await self._writer.wait_for_room():
            raise _overloaded()

    def open(
        self,
        call: Call,
        *,
        kind: Kind,
        tier: str,
        model: str,
        simulated: bool,
        settled: bool = True,
        key: str | None = None,
    ) -> Attempt:
        """A new attempt, already in the call's trace. `judge` on it records it; with
        `settled=False` its figures are still to come, and it is recorded after `settle`, too. A
        cache hit costs nothing. What is recorded again under the same `key`, maybe by another
        process, replaces its row. `Overloaded` where rows pile up because nobody called `admit`.
        """
        if len(self._writer) >= self._hard_limit:
            raise _overloaded()
        attempt = Attempt(
            id=f"att_{key or new_id()}",
            kind=kind,
            tier=tier,
            model=model,
            started_at=time.time(),
            simulated=simulated,
            service=call.service,
        )
        if kind == "cache_hit":
            bill_nothing(attempt)
        entry = _Entry(attempt, call, settled, self._record)
        attempt.sink = entry
        self._entries[attempt.id] = entry
        call.trace.attempts.append(attempt)
        return attempt

    def revise(self, attempt: Attempt, call: Call) -> None:
        """An attempt of an earlier process, or one that was recorded long ago, gets another last
        word: its row is replaced once it is judged, and no observer hears of it again.
        """
        entry = _Entry(attempt, call, settled=True, record=self._replace)
        attempt.outcome, attempt.reason, attempt.sink = "open", "", entry

    def settle(self, attempt: Attempt) -> None:
        """Says that the attempt's figures are complete. It may be judged before or after."""
        entry = _entry_of(attempt)
        entry.settled = True
        self._record(entry)

    async def intent(self, attempt: Attempt, call: Call) -> None:
        """Commits a row with outcome `intent` for a hosted call that is about to leave. The
        attempt's usage and cost are then the most that it can come to.

        `TierUnavailable` where it cannot be written in time: such a call must not leave.
        """
        self._writer.put(attempt_row(attempt, call, outcome=INTENT))
        _entry_of(attempt).intended = True
        try:
            async with asyncio.timeout(min(max(call.remaining, 0.0), INTENT_TIMEOUT_S)):
                await self._writer.flush()
        except Exception as error:
            raise TierUnavailable(
                "the ledger cannot be written, and a hosted call must not leave unrecorded",
                code="ledger_unavailable",
            ) from error

    def _record(self, entry: _Entry) -> None:
        attempt = entry.attempt
        if attempt.outcome == "open" or not entry.settled or entry.recorded:
            return
        entry.recorded = True
        self._entries.pop(attempt.id, None)
        attempt.baseline_cost_usd = self._baseline_cost(attempt, entry.call)
        self._put(entry)
        for observe in self._observers:
            try:
                observe(attempt, entry.call)
            except Exception:
                _log.exception("ledger_observer_failed", attempt=attempt.id)

    def _replace(self, entry: _Entry) -> None:
        attempt = entry.attempt
        attempt.baseline_cost_usd = self._baseline_cost(attempt, entry.call)
        self._put(entry)

    def _put(self, entry: _Entry) -> None:
        self._writer.put(attempt_row(entry.attempt, entry.call))

    def _baseline_cost(self, attempt: Attempt, call: Call) -> Decimal | None:
        if attempt.outcome not in {"accepted", "best_effort"} or attempt.kind in CHECKS:
            return None
        if attempt.kind == "embedding":
            # Without Stepwell a client's would cost the same, and the cache's own would not be.
            return FREE if call.of_stepwell else attempt.cost_usd
        if attempt.kind == "attempt" and attempt.tier == self._baseline_tier:
            return attempt.list_cost_usd
        if self._baseline is None:
            return None
        # Without Stepwell nobody would have planned prompt caching, so all input is plain.
        usage = attempt.usage
        return self._baseline.cost(Usage(usage.prompt_tokens, usage.completion_tokens))

    def _put_overdue(self) -> None:
        """Attempts that their caller forgot, as open; one that is judged later replaces its row.
        A hosted call that is still out keeps its intent.
        """
        now = time.monotonic()
        if now < self._next_sweep:  # intents flush hundreds of times a second
            return
        self._next_sweep = now + SWEEP_INTERVAL_S
        overdue = [e for e in self._entries.values() if e.call.remaining < -OVERDUE_S]
        for entry in overdue:
            del self._entries[entry.attempt.id]
            if entry.settled or not entry.intended:
                self._put(entry)


def _entry_of(attempt: Attempt) -> _Entry:
    assert isinstance(attempt.sink, _Entry), "this ledger did not open the attempt"
    return attempt.sink


def _overloaded() -> Overloaded:
    return Overloaded(
        "the ledger's database does not take rows; new work waits for it",
        code="ledger_unavailable",
        retry_after=1.0,
    )
