"""Sums and percentiles of the replay. Money is Decimal, so that sums equal the ledger's exactly."""

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from deploy.cli.replay.trace import AttemptSeen

REST = "(other)"
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """In milliseconds, interpolated between neighbours; of at least one value."""

    count: int
    p50: float
    p95: float
    p99: float


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """None of no values."""
    if not values:
        return None
    if len(values) == 1:
        return Percentiles(1, values[0], values[0], values[0])
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return Percentiles(len(values), cuts[49], cuts[94], cuts[98])


@dataclass(slots=True)
class Money:
    """A sum of the known prices and a count of the unknown ones, which are never zero."""

    known: Decimal = Decimal(0)
    priced: int = 0
    unknown: int = 0

    def add(self, usd: Decimal | None) -> None:
        if usd is None:
            self.unknown += 1
        else:
            self.known += usd
            self.priced += 1

    def __add__(self, other: "Money") -> "Money":
        return Money(
            self.known + other.known, self.priced + other.priced, self.unknown + other.unknown
        )

    @property
    def usd(self) -> Decimal | None:
        """The sum of the known prices; None where prices exist and none is known."""
        return None if self.unknown and not self.priced else self.known


@dataclass(slots=True)
class Count:
    """What attempts took. The baseline counts once per answer, at the attempt that gave it."""

    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Money = field(default_factory=Money)
    baseline: Money = field(default_factory=Money)

    def add(self, attempt: AttemptSeen) -> None:
        self.attempts += 1
        self.prompt_tokens += attempt.prompt_tokens
        self.completion_tokens += attempt.completion_tokens
        self.cost.add(attempt.cost_usd)
        if attempt.answered:
            self.baseline.add(attempt.baseline_cost_usd)


def general(reason: str) -> str:
    """The reason with its measured numbers left out, so that like ones are counted together."""
    return _NUMBER.sub("…", reason)


def bump(counter: Counter[str], key: str, most: int) -> str:
    """Counts `key`, under `REST` once `most` keys are told apart; the key it was counted under."""
    key = key if key in counter or len(counter) < most else REST
    counter[key] += 1
    return key
