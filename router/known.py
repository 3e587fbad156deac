"""What is known of a conversation: how its turns went at each tier, and what they left warm there.

Pure: a fold over its attempts, oldest first. A gateway folds what it sees; the ledger's rows of a
conversation amount to the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from router.warmth import COLD, Warmth
from serving.costs.past import PastAttempt

PRIOR_FAILURE = 0.25
PRIOR_TURNS = 1.0
"""What is assumed of a tier before it has answered here: a quarter of its answers do not pass. It
weighs as much as one turn, so that a conversation's own turns soon outweigh it.
"""

MAX_FAILURE = 0.5
MAX_STREAK = 2
"""A tier is not asked first any more once it is more likely to fail than not, or has failed so many
times in a row.
"""


@dataclass(frozen=True, slots=True)
class TierRecord:
    """Answers of one tier: how many passed, how many did not, and how many of the latest ones did
    not in a row.
    """

    passes: int = 0
    failures: int = 0
    streak: int = 0
    warmth: Warmth = COLD

    @property
    def failure_share(self) -> float:
        """The expected share of answers that do not pass: the mean of a beta distribution."""
        turns = PRIOR_TURNS + self.passes + self.failures
        return (PRIOR_FAILURE * PRIOR_TURNS + self.failures) / turns

    def cold(self) -> "TierRecord":
        """The same, with nothing warm there."""
        return replace(self, warmth=COLD)

    def after(self, attempt: PastAttempt) -> "TierRecord":
        passed = attempt.outcome == "accepted"
        return TierRecord(
            passes=self.passes + passed,
            failures=self.failures + (not passed),
            streak=0 if passed else self.streak + 1,
            warmth=self.warmth.after(attempt.usage, attempt.started_at),
        )


NEVER_ASKED = TierRecord()


@dataclass(frozen=True, slots=True)
class Turn:
    """The latest turn: where it started (at `at`, Unix seconds) and the tiers whose answer did not
    pass in it. Tiers that were down have no part in it.
    """

    request_id: str
    at: float
    first: str
    failed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """`home` is the tier whose answer was returned last, None where none was yet."""

    last: Turn | None = None
    home: str | None = None
    tiers: Mapping[str, TierRecord] = field(default_factory=dict)

    def record(self, tier: str) -> TierRecord:
        return self.tiers.get(tier, NEVER_ASKED)

    @property
    def cached(self) -> bool:
        """Whether some tier has cached any of the conversation."""
        return any(record.warmth.tokens > 0 for record in self.tiers.values())

    def failing(self, tier: str) -> bool:
        """Its answer did not pass in the latest turn, or in too many turns before."""
        if self.last is not None and tier in self.last.failed:
            return True
        record = self.record(tier)
        return record.streak >= MAX_STREAK or record.failure_share > MAX_FAILURE

    def cold(self) -> "Known":
        """The same, with nothing known to be warm."""
        return replace(self, tiers={tier: record.cold() for tier, record in self.tiers.items()})


NOTHING = Known()


@dataclass(frozen=True, slots=True)
class Past:
    """What a plan needs of the conversation that a request goes on with. `now` is in Unix seconds;
    `new_tokens` (an estimate) are those of the prompt from the last answer on, which no tier has
    read yet.
    """

    known: Known
    now: float
    new_tokens: int


def learn(known: Known, attempt: PastAttempt) -> Known:
    """After one more attempt of the conversation that came to an answer."""
    turn = _turn(known.last, attempt)
    returned = attempt.outcome != "escalated"
    record = known.record(attempt.tier).after(attempt)
    tiers = {**known.tiers, attempt.tier: record}
    return Known(turn, attempt.tier if returned else known.home, tiers)


def learned(attempts: Iterable[PastAttempt]) -> Known:
    """From a conversation's attempts, oldest first."""
    known = NOTHING
    for attempt in attempts:
        known = learn(known, attempt)
    return known


def _turn(last: Turn | None, attempt: PastAttempt) -> Turn:
    """Attempts of one turn come in the order of their judgement, which need not be that of asking:
    the answer that is returned is judged first.
    """
    at, tier = attempt.started_at, attempt.tier
    failed = frozenset() if attempt.outcome == "accepted" else frozenset({tier})
    if last is None or attempt.request_id != last.request_id:
        return Turn(attempt.request_id, at, tier, failed)
    if at < last.at:
        return Turn(last.request_id, at, tier, last.failed | failed)
    return replace(last, failed=last.failed | failed)
