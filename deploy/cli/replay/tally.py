"""Adds up what became of the requests, in all and per tier. Latencies are kept (8 bytes each), so
that percentiles are exact.
"""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from deploy.cli.replay.read import BadLine, Line
from deploy.cli.replay.send import Answer, Failure, Result
from deploy.cli.replay.sums import REST, Count, Money, bump, general
from deploy.cli.replay.trace import AttemptSeen

MAX_KINDS = 50  # of failures told apart; a server may put anything into an error code
MAX_TIERS = 100  # a server without tiers is told apart by model
SEMANTIC = "semantic_cache_hit"
MAX_REASONS = 50  # of escalation told apart per tier


@dataclass(slots=True)
class TierTally:
    """One tier. `answered` counts requests whose answer came from it, cached ones included, of
    which `semantic` are those to a question in other words;
    `latency_ms` is the client's, of whole requests answered by it and not from the cache.
    """

    answered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    escalated: Counter[str] = field(default_factory=Counter)
    simulated: bool = False
    count: Count = field(default_factory=Count)
    hits: Count = field(default_factory=Count)
    semantic: int = 0
    latency_ms: "array[float]" = field(default_factory=lambda: array("d"))
    ttft_ms: "array[float]" = field(default_factory=lambda: array("d"))
    tier_ttft_ms: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def cost(self) -> Money:
        return self.count.cost + self.hits.cost

    @property
    def baseline(self) -> Money:
        return self.count.baseline + self.hits.baseline

    def add(self, attempt: AttemptSeen) -> None:
        self.simulated = self.simulated or attempt.simulated
        if attempt.kind == "cache_hit":
            self.hits.add(attempt)
            self.semantic += attempt.reason == SEMANTIC
            return
        self.count.add(attempt)
        self.outcomes[attempt.outcome] += 1
        if attempt.outcome == "escalated":
            bump(self.escalated, general(attempt.reason) or "no reason given", MAX_REASONS)
        if attempt.ttft_ms is not None:
            self.tier_ttft_ms.append(attempt.ttft_ms)


@dataclass(frozen=True, slots=True)
class Sample:
    """The first failure of its kind."""

    line: int
    message: str


class Tally:
    """Everything the replay knows. `untraced` answers came without a route trace, so their
    attempts and cost are not known; their tokens stand under the model that answered. Of
    `cut_off` requests neither an answer nor a trace came.
    """

    def __init__(self) -> None:
        self.requests = self.answered = self.untraced = self.cut_off = 0
        self.failures: Counter[str] = Counter()
        self.samples: dict[str, Sample] = {}
        self.tiers: dict[str, TierTally] = {}
        self.latency_ms: array[float] = array("d")
        self.ttft_ms: array[float] = array("d")
        self.cached_latency_ms: array[float] = array("d")
        self.elapsed_s = 0.0

    def add(self, line: Line | BadLine, result: Result) -> None:
        self.requests += 1
        for attempt in result.trace.attempts if result.trace is not None else ():
            self._tier(attempt.tier).add(attempt)
        if isinstance(result, Failure):
            self.cut_off += result.cut_off and result.trace is None
            kind = bump(self.failures, result.kind, MAX_KINDS)
            self.samples.setdefault(kind, Sample(line.number, result.message))
        else:
            self._answer(result)

    def _answer(self, answer: Answer) -> None:
        self.answered += 1
        self.latency_ms.append(answer.latency_ms)
        final = answer.trace.final if answer.trace is not None else None
        tier = self._tier(final.tier if final is not None else answer.model)
        tier.answered += 1
        if answer.trace is None:
            self.untraced += 1
            tier.count.prompt_tokens += answer.prompt_tokens
            tier.count.completion_tokens += answer.completion_tokens
        if final is not None and final.kind == "cache_hit":
            self.cached_latency_ms.append(answer.latency_ms)
            return
        tier.latency_ms.append(answer.latency_ms)
        if answer.ttft_ms is not None:
            self.ttft_ms.append(answer.ttft_ms)
            tier.ttft_ms.append(answer.ttft_ms)

    def _tier(self, name: str) -> TierTally:
        known = name in self.tiers or len(self.tiers) < MAX_TIERS
        return self.tiers.setdefault(name if known else REST, TierTally())

    @property
    def errors(self) -> int:
        return self.requests - self.answered

    @property
    def attempts(self) -> int:
        return sum(t.count.attempts for t in self.tiers.values())

    @property
    def cache_hits(self) -> int:
        return sum(t.hits.attempts for t in self.tiers.values())

    @property
    def semantic_hits(self) -> int:
        """Of the cache hits, those to a question in other words."""
        return sum(t.semantic for t in self.tiers.values())

    @property
    def prompt_tokens(self) -> int:
        return sum(t.count.prompt_tokens for t in self.tiers.values())

    @property
    def completion_tokens(self) -> int:
        return sum(t.count.completion_tokens for t in self.tiers.values())

    @property
    def cost(self) -> Money:
        return sum((t.cost for t in self.tiers.values()), Money())

    @property
    def baseline(self) -> Money:
        return sum((t.baseline for t in self.tiers.values()), Money())

    @property
    def simulated(self) -> bool:
        return any(t.simulated for t in self.tiers.values())

    @property
    def saved_usd(self) -> Decimal | None:
        """Baseline less cost; None where either is not wholly known."""
        cost, baseline = self.cost, self.baseline
        if self.untraced or self.cut_off or cost.unknown or baseline.unknown or not baseline.priced:
            return None
        return baseline.known - cost.known
