"""Holds the ledger of a soak against the emulator's account, request by request.

A call whose usage came must stand in the ledger as the emulator billed it. A call that broke off
stands there at an upper bound, marked as estimated, that no bill of it exceeds. The emulator may
take a call for completed whose last bytes nobody took in, since the client had left: `unseen`.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tests.bench.hosted.clients import Fate
from tests.bench.hosted.ledger import LedgerRow, total
from tests.bench.hosted.processes import Account, Bill
from tests.bench.hosted.traffic import Asked

FINAL = frozenset({"accepted", "best_effort"})
UNSETTLED = frozenset({"intent", "open"})
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sum:
    calls: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The ledger's `certain` and `bounded` calls, and the account's: `completed` (of which
    `unseen`) and `aborted`. `wrong` says what does not add up.
    """

    certain: Sum
    bounded: Sum
    completed: Sum
    unseen: Sum
    aborted: Sum
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _One:
    """What is known of one request."""

    asked: Asked
    fate: Fate
    rows: list[LedgerRow]
    bills: list[Bill]


def reconcile(
    fates: Sequence[tuple[Asked, Fate]], rows: Sequence[LedgerRow], account: Account
) -> Reconciled:
    known = {str(asked.number) for asked, _ in fates}
    wrong = [f"a row of nobody's: {row}" for row in rows if row.step not in known]
    by_step: Mapping[str | None, list[LedgerRow]] = _grouped_rows(rows)
    by_prompt = _grouped_bills(account.bills)
    unseen: list[Bill] = []
    for asked, fate in fates:
        bills = by_prompt.pop((asked.model, asked.prompt_tokens), [])
        one = _One(asked, fate, by_step.get(str(asked.number), []), bills)
        unseen += _unseen(one)
        wrong += [f"request {asked.number} ({fate.word}): {what}" for what in _wrong(one)]
    wrong += [f"bills of nobody's: {key}" for key in by_prompt]
    bounded = [row for row in rows if row.estimated]
    return Reconciled(
        certain=_rows_sum([row for row in rows if not row.estimated]),
        bounded=_rows_sum(bounded),
        completed=_bills_sum([b for b in account.bills if b.outcome == "completed"]),
        unseen=_bills_sum(unseen),
        aborted=_bills_sum([b for b in account.bills if b.outcome == "aborted"]),
        wrong=tuple(wrong),
    )


def _wrong(one: _One) -> list[str]:
    wrong: list[str] = []
    if not one.rows and one.fate.word != "left":
        wrong.append("no row in the ledger")
    final = sum(row.outcome in FINAL for row in one.rows)
    if one.fate.word == "answered" and final != 1:
        wrong.append(f"{final} answers in the ledger")
    wrong += [f"unsettled: {row}" for row in one.rows if row.outcome in UNSETTLED]
    booked = Counter(_row_line(r) for r in one.rows if r.certain)
    only = booked - Counter(_bill_line(b) for b in one.bills if b.outcome == "completed")
    wrong += [f"in the ledger only: {n} x {line}" for line, n in only.items()]
    open_bills = [*_unseen(one), *(b for b in one.bills if b.outcome == "aborted")]
    return wrong + _uncovered(open_bills, [r for r in one.rows if r.estimated])


def _uncovered(bills: Sequence[Bill], rows: Sequence[LedgerRow]) -> list[str]:
    """Each bill needs a row of its own that is not below it; taken from the dearest down, they fit
    if they fit at all.
    """
    bounds = sorted((row.usd or ZERO for row in rows), reverse=True)
    dearest = sorted(bills, key=lambda b: b.usd, reverse=True)
    missing = [f"no row for {bill}" for bill in dearest[len(bounds) :]]
    pairs = zip(dearest, bounds, strict=False)
    return missing + [f"a bound of ${usd} below {bill}" for bill, usd in pairs if usd < bill.usd]


def _unseen(one: _One) -> list[Bill]:
    """Bills of completed calls that no row knows the usage of."""
    left = Counter(_row_line(row) for row in one.rows if row.certain)
    found: list[Bill] = []
    for bill in one.bills:
        line = _bill_line(bill)
        if bill.outcome == "completed" and not left[line]:
            found.append(bill)
        left[line] -= bill.outcome == "completed"
    return found


def _row_line(row: LedgerRow) -> tuple[object, ...]:
    plain = row.prompt_tokens - row.read - row.written
    short = row.written - row.written_1h
    return plain, row.read, short, row.written_1h, row.completion_tokens, row.usd


def _bill_line(bill: Bill) -> tuple[object, ...]:
    names = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    return *(bill.tokens[name] for name in names), bill.usd


def _grouped_rows(rows: Sequence[LedgerRow]) -> dict[str | None, list[LedgerRow]]:
    found: dict[str | None, list[LedgerRow]] = defaultdict(list)
    for row in rows:
        found[row.step].append(row)
    return found


def _grouped_bills(bills: Sequence[Bill]) -> dict[tuple[str, int], list[Bill]]:
    found: dict[tuple[str, int], list[Bill]] = defaultdict(list)
    for bill in bills:
        found[bill.model, bill.prompt_tokens].append(bill)
    return found


def _rows_sum(rows: Sequence[LedgerRow]) -> Sum:
    return Sum(sum(row.prompt_tokens > 0 for row in rows), total(rows))


def _bills_sum(bills: Sequence[Bill]) -> Sum:
    return Sum(len(bills), sum((b.usd for b in bills), ZERO))
