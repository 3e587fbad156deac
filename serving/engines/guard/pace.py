"""How soon the next call may leave, by what the tier's provider says is left of its limits.

Some limits are windows that are full again at one moment, some are buckets that fill up all the
time; headers do not say which. Both are kept by one rule: once little is left, what is left is
spread evenly over the time to the reset. A window then lasts to its end. A bucket fills up faster
than calls leave until more than the reserve is there again, so nothing of its rate is lost. Two
processes that share a limit and both keep the rule do not exhaust it either: each hears of the
other's calls in what is left.
"""

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

from serving.allowance import Allowance, Unit
from serving.wire.completion import Usage

RESERVE = 0.2
"""Calls are slowed once less than this share of a limit is left."""

SMOOTHING = 0.1
"""The weight of the latest call in the mean tokens of one."""

MOVED_S = 1.5
"""A reset that moved later by more than this while nothing came back is that of a bucket. Resets
are given in whole seconds.
"""

LEAST_S = 0.001
"""Shorter waits are none."""

MAX_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class Wait:
    """How long the next call is to wait. `empty`: nothing is left, so it would be refused before;
    else it is only slowed. `unit` names the limit that is the reason.
    """

    seconds: float = 0.0
    empty: bool = False
    unit: Unit = "calls"


NO_WAIT = Wait()


@dataclass(frozen=True, slots=True)
class Level:
    """A limit as it was last reported, in the reader's own time: `as_of` is when the call left
    whose answer said so, `heard_at` when it said so. `refills`: it is known to be a bucket.
    """

    allowance: Allowance
    as_of: float
    heard_at: float
    refills: bool = False

    @property
    def resets_at(self) -> float:
        return self.heard_at + self.allowance.reset_s

    def then(self, new: "Level") -> "Level":
        """What is known once `new` has been heard: the report of the call that left later counts,
        and a limit that was seen to refill little by little does so.
        """
        if new.as_of < self.as_of and self.resets_at > new.heard_at:
            return self
        moved = self.resets_at > new.heard_at and new.resets_at - self.resets_at > MOVED_S
        lower = new.allowance.remaining <= self.allowance.remaining
        return replace(new, refills=self.refills or (moved and lower))

    def wait(self, *, now: float, last: float, spent: float, cost: float) -> Wait:
        """`last` is when a call last left, `spent` what those used that left after `as_of`, `cost`
        what one uses; the two in the limit's unit.
        """
        limit, unit, until = self.allowance.limit, self.allowance.unit, self.resets_at - now
        if until < LEAST_S:
            return NO_WAIT
        left = self.allowance.remaining - spent + self._refilled(now)
        if left < min(cost, limit):
            missing = min(cost, limit) - left
            share = missing / max(limit - left, missing) if self.refills else 1.0
            return Wait(max(LEAST_S, until * share), empty=True, unit=unit)
        if left >= RESERVE * limit:
            return NO_WAIT
        wait = last + until * cost / left - now
        return Wait(wait if wait >= LEAST_S else 0.0, unit=unit)

    @property
    def _rate(self) -> float:
        """What a bucket gains per second; 0 for what is not known to be one."""
        reset_s = self.allowance.reset_s
        missing = self.allowance.limit - self.allowance.remaining
        return missing / reset_s if self.refills and reset_s > 0 else 0.0

    def _refilled(self, now: float) -> float:
        """What a bucket has gained since it was heard of."""
        return self._rate * min(self.allowance.reset_s, now - self.heard_at)


class Pace:
    """Of one tier in this process. Without any report it slows nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds."""
        self._clock = clock
        self._levels: dict[Unit, Level] = {}
        self._departures: list[float] = []
        self._means: dict[Unit, float] = {}

    def report(self, found: tuple[Allowance, ...], age_s: float) -> None:
        """What the answer to a call says that left `age_s` seconds ago; see `Report`."""
        now = self._clock()
        for allowance in found:
            new = Level(allowance, now - age_s, now)
            old = self._levels.get(allowance.unit)
            self._levels[allowance.unit] = new if old is None else old.then(new)
        if self._levels:
            oldest = min(level.as_of for level in self._levels.values())
            del self._departures[: max(0, bisect_right(self._departures, oldest) - 1)]

    def leaves(self) -> None:
        """A call leaves now."""
        if len(self._departures) >= MAX_REMEMBERED:
            del self._departures[: MAX_REMEMBERED // 2]
        self._departures.append(self._clock())

    def used(self, usage: Usage) -> None:
        """What a call used: the next are expected to use as much."""
        fresh = max(0, usage.prompt_tokens - usage.cached_tokens)
        counts: dict[Unit, int] = {
            "input_tokens": fresh,
            "output_tokens": usage.completion_tokens,
            "tokens": fresh + usage.completion_tokens,
        }
        for unit, count in counts.items():
            mean = self._means.get(unit)
            self._means[unit] = count if mean is None else mean + SMOOTHING * (count - mean)

    def wait(self) -> Wait:
        """Of the call that would leave next, by the scarcest limit."""
        if not self._levels:
            return NO_WAIT
        now = self._clock()
        last = self._departures[-1] if self._departures else now
        waits = (self._of(level, now, last) for level in self._levels.values())
        return max(waits, key=lambda w: (w.empty, w.seconds))

    def _of(self, level: Level, now: float, last: float) -> Wait:
        since = len(self._departures) - bisect_right(self._departures, level.as_of)
        unit = level.allowance.unit
        cost = 1.0 if unit == "calls" else max(1.0, self._means.get(unit, 1.0))
        return level.wait(now=now, last=last, spent=since * cost, cost=cost)
