"""What the lines of a batch came to, in all."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from serving.wire.completion import Usage

ZERO = Decimal(0)


@dataclass(slots=True)
class Tally:
    """`completed` lines have an answer, `failed` ones an error. Costs are USD, None once one of
    them is unknown. `tiers`: lines by the tier that answered.
    """

    completed: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: Decimal | None = ZERO
    baseline_cost_usd: Decimal | None = ZERO
    tiers: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        lines: int,
        *,
        succeeded: bool,
        usage: Usage,
        cost_usd: Decimal | None,
        baseline_cost_usd: Decimal | None,
        tier: str | None,
    ) -> None:
        """Figures of `lines` lines together. A failed line has no baseline."""
        if succeeded:
            self.completed += lines
            self.baseline_cost_usd = _sum(self.baseline_cost_usd, baseline_cost_usd)
        else:
            self.failed += lines
        if tier is not None:
            self.tiers[tier] += lines
        self.prompt_tokens += usage.prompt_tokens
        self.cached_tokens += usage.cached_tokens
        self.completion_tokens += usage.completion_tokens
        self.reasoning_tokens += usage.reasoning_tokens
        self.cost_usd = _sum(self.cost_usd, cost_usd)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `from_dict` gives an equal tally back."""
        return {
            "completed": self.completed,
            "failed": self.failed,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cost_usd": _text(self.cost_usd),
            "baseline_cost_usd": _text(self.baseline_cost_usd),
            "tiers": dict(self.tiers),
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        known = dict(value)
        for name in ("cost_usd", "baseline_cost_usd"):
            known[name] = None if known[name] is None else Decimal(known[name])
        return cls(**{**known, "tiers": Counter(known["tiers"])})


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one + other


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount.normalize() if amount else ZERO, "f")
