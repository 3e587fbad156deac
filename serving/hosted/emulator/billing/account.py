"""The emulator's own account of what it billed, apart from any ledger that books the same calls."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from serving.hosted.emulator.billing.prices import Tokens, usd

Outcome = Literal["completed", "aborted"]
KEPT = 10_000
MAX_LINES = 10_000
OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class Bill:
    """One request that was billed. `completed`: all of the answer was sent; `aborted`: less than
    all, because the client left, a fault broke it off or the model behind it failed. `usd` is None
    where the model's price is not known. Requests of a batch name it and their `custom_id`.
    """

    request_id: str
    message_id: str
    workspace: str
    model: str
    at: datetime
    tokens: Tokens
    outcome: Outcome = "completed"
    inference_geo: str = "global"
    batch_id: str | None = None
    custom_id: str | None = None

    @property
    def usd(self) -> Decimal | None:
        us = self.inference_geo == "us"
        return usd(self.model, self.tokens, batch=self.batch_id is not None, us=us)

    def as_json(self) -> dict[str, Any]:
        shown = {**asdict(self), "at": self.at.isoformat(), "usd": _text(self.usd)}
        return {k: v for k, v in shown.items() if v is not None or k == "usd"}


@dataclass(frozen=True, slots=True)
class Line:
    """What is added up apart from each other."""

    workspace: str
    model: str
    batch: bool
    inference_geo: str
    outcome: Outcome


@dataclass(slots=True)
class Sum:
    """Of `requests`, the `unpriced` ones are not in `usd`."""

    requests: int = 0
    unpriced: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    usd: Decimal = Decimal(0)

    def add(self, bill: Bill) -> None:
        cost = bill.usd
        self.requests += 1
        self.tokens = self.tokens + bill.tokens
        self.unpriced += cost is None
        self.usd += cost or 0

    def merge(self, other: "Sum") -> None:
        self.requests += other.requests
        self.unpriced += other.unpriced
        self.tokens = self.tokens + other.tokens
        self.usd += other.usd

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "unpriced_requests": self.unpriced,
            "tokens": asdict(self.tokens),
            "usd": _text(self.usd),
        }


class Account:
    """Sums that never forget, and the last `keep` bills, all of them where it is None. Beyond
    `MAX_LINES` different lines, further workspaces are added up as one.
    """

    def __init__(self, keep: int | None = KEPT) -> None:
        self._keep = keep
        self._sums: dict[Line, Sum] = {}
        self._bills: OrderedDict[str, Bill] = OrderedDict()

    def add(self, bill: Bill) -> None:
        """Books a bill; each request is billed once."""
        batch = bill.batch_id is not None
        line = Line(bill.workspace, bill.model, batch, bill.inference_geo, bill.outcome)
        if line not in self._sums and len(self._sums) >= MAX_LINES:
            line = Line(OTHERS, bill.model, batch, bill.inference_geo, bill.outcome)
        self._sums.setdefault(line, Sum()).add(bill)
        self._bills[bill.request_id] = bill
        if self._keep is not None and len(self._bills) > self._keep:
            self._bills.popitem(last=False)

    def total(self, **of: object) -> Sum:
        """The sum over the lines whose fields have these values; of everything without any."""
        found = Sum()
        for line, part in self._sums.items():
            if all(getattr(line, name) == value for name, value in of.items()):
                found.merge(part)
        return found

    def lines(self) -> Iterator[tuple[Line, Sum]]:
        yield from self._sums.items()

    def bill(self, request_id: str) -> Bill | None:
        """The bill of one request, by its `request-id`, while it is kept."""
        return self._bills.get(request_id)

    def bills(self) -> list[Bill]:
        """The bills that are kept, the oldest first."""
        return list(self._bills.values())

    def as_json(self) -> dict[str, Any]:
        lines = [{**asdict(line), **part.as_json()} for line, part in self.lines()]
        return {
            "object": "emulator.account",
            "note": "Simulated. Not a part of Anthropic's API.",
            "currency": "USD",
            "total": self.total().as_json(),
            "completed": self.total(outcome="completed").as_json(),
            "aborted": self.total(outcome="aborted").as_json(),
            "lines": lines,
        }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount.normalize(), "f")
