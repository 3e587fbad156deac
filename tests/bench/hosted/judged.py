"""Holds what a stage cost against the arithmetic and against the emulator's account."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from tests.bench.hosted import batched
from tests.bench.hosted.arithmetic import (
    ANSWER,
    HAIKU,
    PLAIN,
    PREFIX,
    QUESTION,
    SPLITS,
    Split,
    call_usd,
    expected,
    per_day,
)
from tests.bench.hosted.ledger import LedgerRow, total
from tests.bench.hosted.processes import Bill
from tests.bench.hosted.stages import TIERS, Ran

REACH = Decimal("0.8")
"""The share of a batch's requests that the emulator lets reach the prompt cache."""

Counts = Counter[tuple[str, bool, Split]]


@dataclass(frozen=True, slots=True)
class Judged:
    """USD of a stage's sample, and calls by model, batch or not, and what became of the prompt.
    `wrong` says what does not add up; a stage that is right has none.
    """

    ran: Ran
    ledger: Decimal
    account: Decimal
    arithmetic: Decimal
    counts: Counts
    wrong: tuple[str, ...]

    def day(self, usd: Decimal) -> Decimal:
        return per_day(usd, len(self.ran.calls))

    @property
    def settled(self) -> Decimal:
        """USD of a day as the second half of the calls was, after all that is done but once."""
        half = len(self.ran.calls) // 2
        late = [row for row in self.ran.rows if int(row.step or 0) >= half]
        return per_day(total(late), len(self.ran.calls) - half)


def judge(ran: Ran) -> Judged:
    counts: Counts = Counter()
    wrong: list[str] = []
    for row in ran.rows:
        batch, split = row.feature == batched.FEATURE, split_of(row)
        if split is None or row.usd != call_usd(row.model, split, batch=batch):
            wrong.append(f"not as the arithmetic has it: {row}")
        else:
            counts[row.model, batch, split] += 1
    ledger = total(ran.rows)
    wrong += _against_account(ran, ledger) + _against_plan(ran, counts)
    return Judged(
        ran=ran,
        ledger=ledger,
        account=ran.account.completed,
        arithmetic=expected(ran.stage, ran.calls, reach=REACH),
        counts=counts,
        wrong=tuple(wrong),
    )


def split_of(row: LedgerRow) -> Split | None:
    """What became of the row's prompt; None where it is no call of the example."""
    certain = row.certain and row.outcome == "accepted"
    if not certain or (row.prompt_tokens, row.completion_tokens) != (PREFIX + QUESTION, ANSWER):
        return None
    split = Split(row.read, row.written, row.written_1h)
    return split if split in SPLITS else None


def _against_account(ran: Ran, ledger: Decimal) -> list[str]:
    """Two that share no prices: the ledger and the emulator's account."""
    wrong: list[str] = []
    if ledger != ran.account.completed or ran.account.aborted:
        wrong.append(f"ledger ${ledger}, account ${ran.account.completed}")
    booked = Counter(_row_line(row) for row in ran.rows)
    billed = Counter(_bill_line(bill) for bill in ran.account.bills)
    wrong += [f"in the ledger only: {n} x {line}" for line, n in (booked - billed).items()]
    wrong += [f"in the account only: {n} x {line}" for line, n in (billed - booked).items()]
    return wrong


def _row_line(row: LedgerRow) -> tuple[object, ...]:
    batch = row.feature == batched.FEATURE
    tokens = row.prompt_tokens - row.read - row.written, row.read, row.written, row.written_1h
    return row.model, batch, *tokens, row.completion_tokens, row.usd


def _bill_line(bill: Bill) -> tuple[object, ...]:
    tokens = bill.tokens
    hour = tokens["cache_write_1h"]
    written = tokens["cache_write_5m"] + hour
    input_tokens = tokens["input"], tokens["cache_read"], written, hour
    return bill.model, bill.batch, *input_tokens, tokens["output"], bill.usd


def _against_plan(ran: Ran, counts: Counts) -> list[str]:
    """Every call happened once, and the planner says of each Haiku call that it was too short."""
    wrong: list[str] = []
    planned = Counter((c.model, c.batch) for c in ran.calls)
    for (model, batch), calls in planned.items():
        found = sum(n for (m, b, _), n in counts.items() if (m, b) == (model, batch))
        if found != calls:
            wrong.append(f"{model}, batch {batch}: {found} of {calls} calls in the ledger")
    plain = counts[HAIKU, False, PLAIN] + counts[HAIKU, True, PLAIN]
    if plain != planned[HAIKU, False] + planned[HAIKU, True]:
        wrong.append("a Haiku 4.5 prefix under 4,096 tokens was stored")
    if ran.stage.cached and ran.outcomes[TIERS[HAIKU], "too_short"] != planned[HAIKU, False]:
        wrong.append("the planner does not say of every Haiku 4.5 call that it is too short")
    return wrong
