"""What a batch object says about its progress, read with care: another version, or another server,
may say less.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from openai.types import Batch

from deploy.cli.replay.trace import one_line

MAX_TIERS = 20
WAITING = {"parked": "to be sent", "hosted": "sent"}
"""Names in the `stepwell` object of lines that wait for a provider's batch, and what they do."""


@dataclass(frozen=True, slots=True)
class Figures:
    """`tiers`: lines by the tier that answered. `waiting`: lines that are at a provider's batch
    endpoint or wait for it. Money is USD, None where it is not said or not known.
    """

    status: str
    total: int = 0
    completed: int = 0
    failed: int = 0
    cost: Decimal | None = None
    baseline: Decimal | None = None
    tiers: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        return self.completed + self.failed

    @property
    def saved(self) -> Decimal | None:
        """So far: what the baseline would have cost, less what was spent."""
        if self.cost is None or self.baseline is None:
            return None
        return self.baseline - self.cost


def figures(batch: Batch) -> Figures:
    counts = batch.request_counts
    added = (batch.model_extra or {}).get("stepwell")
    said: Mapping[str, object] = added if isinstance(added, Mapping) else {}
    return Figures(
        status=one_line(str(batch.status)),
        total=_count(counts and counts.total),
        completed=_count(counts and counts.completed),
        failed=_count(counts and counts.failed),
        cost=_money(said.get("cost_usd")),
        baseline=_money(said.get("baseline_cost_usd")),
        tiers=_by_name(said.get("tiers")),
        waiting={
            words: lines for name, words in WAITING.items() if (lines := _in_all(said.get(name)))
        },
    )


def percent(saved: Decimal, baseline: Decimal) -> str:
    return f"{saved / baseline:.1%}" if baseline else "0%"


def usd(amount: Decimal | None) -> str:
    """Rounded for reading."""
    if amount is None:
        return "unknown"
    return f"{amount:,.6f}" if abs(amount) < 1 else f"{amount:,.2f}"


def _money(value: object) -> Decimal | None:
    """A JSON number would have been through a float already, so only strings count as exact."""
    try:
        found = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def _by_name(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {one_line(str(k)): _count(v) for k, v in list(value.items())[:MAX_TIERS] if _count(v)}


def _in_all(value: object) -> int:
    return sum(_by_name(value).values()) if isinstance(value, Mapping) else _count(value)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
