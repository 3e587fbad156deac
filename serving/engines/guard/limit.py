"""How many calls may run at once: additive increase, multiplicative decrease, as a pure decision.

The rule is that of Chiu and Jain ("Analysis of the Increase and Decrease Algorithms for Congestion
Avoidance in Computer Networks", 1989), in the form that TCP uses (RFC 5681, congestion avoidance;
RFC 6582, one decrease per window), with calls for segments.
"""

from dataclasses import dataclass, replace
from typing import Self

from serving.settings.tiers import TierSettings

DECREASE = 0.5


@dataclass(frozen=True, slots=True)
class Limit:
    """`exact` moves between `least` and `most`; where they are equal, the limit is fixed. `cuts`
    counts the decreases.
    """

    exact: float
    least: int
    most: int
    cuts: int = 0

    @classmethod
    def of(cls, tier: TierSettings) -> Self:
        """Where the tier's settings contradict each other, its maximum wins."""
        most = tier.max_concurrent
        if not tier.adaptive:
            return cls(most, most, most)
        least = min(tier.limits.min_concurrent, most)
        return cls(min(max(tier.limits.start_concurrent, least), most), least, most)

    @property
    def calls(self) -> int:
        """Calls that may run at once."""
        return int(self.exact)

    def on_success(self, running: int) -> "Limit":
        """One more call for every `exact` successes. A limit that is less than half in use
        (`running`, the successful call included) says nothing about a higher one and stays.
        """
        if self.exact >= self.most or running * 2 < self.exact:
            return self
        return replace(self, exact=min(self.exact + 1 / self.exact, self.most))

    def on_overload(self, cuts: int) -> "Limit":
        """Half of the calls. `cuts` is the count when the failed call left: what fails together
        was one overload, so a call that left before the last decrease leads to none.
        """
        if cuts != self.cuts or self.least == self.most:
            return self
        return replace(self, exact=max(self.exact * DECREASE, self.least), cuts=self.cuts + 1)
