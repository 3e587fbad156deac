"""What the ledger says, read from its SQLite file once nobody writes it any more."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

QUERY = """
    SELECT model, outcome, error, feature, step, prompt_tokens, completion_tokens,
        cached_tokens AS read, cache_write_tokens AS written,
        cache_write_1h_tokens AS written_1h, usage_estimated AS estimated, cost AS usd
    FROM attempts WHERE kind = 'attempt' ORDER BY created_at, id
"""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One attempt. `usd` is exact; None where the ledger knows no price. `estimated`: its usage
    never came, so it stands at an upper bound.
    """

    model: str
    outcome: str
    error: str | None
    feature: str | None
    step: str | None
    prompt_tokens: int
    completion_tokens: int
    read: int
    written: int
    written_1h: int
    estimated: bool
    usd: Decimal | None

    @property
    def certain(self) -> bool:
        """A call whose usage came."""
        return not self.estimated and self.prompt_tokens > 0


def ledger_rows(database: Path) -> list[LedgerRow]:
    """All attempts at tiers, in their order."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return [_row(dict(found)) for found in connection.execute(QUERY)]


def total(rows: Sequence[LedgerRow]) -> Decimal:
    """USD of all rows; `ValueError` where one has no price."""
    found = Decimal(0)
    for row in rows:
        if row.usd is None:
            raise ValueError(f"the ledger knows no price of {row.model}")
        found += row.usd
    return found


def _row(found: dict[str, Any]) -> LedgerRow:
    """Money stands in the file as a whole number of 10^-12 USD."""
    usd = None if found["usd"] is None else Decimal(found["usd"]).scaleb(-12)
    return LedgerRow(**{**found, "estimated": bool(found["estimated"]), "usd": usd})
