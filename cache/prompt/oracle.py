"""The plan that one would make who knows every prompt to come: what the planner's is held against.

It obeys all rules. It places each prompt's breakpoints as the planner does, by dynamic programming
over segments, but with what entries will save in the trace in place of what they can be expected
to. That is found by going through the trace backwards, each block by itself: its next uses cost so
much less with an entry of five minutes, or of an hour, than without.

It is a plan that exists, so an upper bound of the optimum and not proven to be one: that each later
prompt makes the best of its breakpoints is assumed in the worth of this one's. How close it comes
can be read from `replay/bound.py`, which no plan can beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cache.prompt.chain import TTL_S, Block, Plan
from cache.prompt.economics import NOTHING, RelativePrices, Worth
from cache.prompt.placement import Place, Situation, choose
from cache.prompt.rules import Shelf, ends_of


@dataclass(frozen=True, slots=True)
class Use:
    """A prompt of the trace. `prices` are multiples of its own input price, which is `scale` times
    the one that everything is counted in (long prompts can have prices of their own).
    """

    chain: Sequence[Block]
    at: float
    prices: RelativePrices
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks of a prompt, up to `last`, whose future is one: what an entry there will save, and
    what on top, behind a deeper one that the next uses read (`standby`).
    """

    last: int
    worth: Worth
    standby: Worth = NOTHING


@dataclass(frozen=True, slots=True)
class _Use:
    """What a token of a block costs from a use on, that use included, by what it finds: nothing, an
    entry of either lifetime, or one that can't be read yet. `fork`: what an entry saves that is
    kept until the next prompt that leaves the path there.
    """

    at: float
    cold: float
    hit_5m: float
    hit_1h: float
    early_5m: float
    early_1h: float
    fork: Worth = NOTHING


_NEVER = _Use(float("inf"), 0.0, 0.0, 0.0, 0.0, 0.0)


class Foresight:
    """Takes the trace's prompts from the last to the first."""

    def __init__(self, minimum: int, *, begins_s: float = 0.0) -> None:
        self._minimum, self._begins_s = minimum, begins_s
        self._next: dict[bytes, _Use] = {}

    def take(self, use: Use) -> list[Run]:
        """The prompt's runs, by the prompts taken before, which come after it."""
        tokens = sum(block.tokens for block in use.chain)
        if tokens < self._minimum:  # it neither reads nor writes
            return []
        futures = [self._next.get(block.key, _NEVER) for block in use.chain]
        runs: list[Run] = []
        first = 0
        for last, future in enumerate(futures):
            after = futures[last + 1] if last + 1 < len(futures) else None
            if after is future:
                continue
            run, now = self._step(use, last, future, after)
            runs.append(run)
            for block in use.chain[first : last + 1]:
                self._next[block.key] = now
            first = last + 1
        return runs

    def _step(self, use: Use, last: int, future: _Use, after: _Use | None) -> tuple[Run, _Use]:
        """A run with this future, which the blocks behind it do not share, and the costs from this
        use on.
        """
        scale, prices, gap = use.scale, use.prices, future.at - use.at
        none = future.cold
        five = hour = none
        if gap < self._begins_s:
            five, hour = min(none, future.early_5m), min(none, future.early_1h)
        elif gap < TTL_S["1h"]:
            hour = future.hit_1h
            five = future.hit_5m if gap < TTL_S["5m"] else none
        written = (scale * prices.write_5m + five, scale * prices.write_1h + hour)
        worth = Worth((none - five) / scale, (none - hour) / scale)
        standby = NOTHING
        if after is not None and after.at == future.at:  # the next prompt goes on the same way
            near, far = gap < TTL_S["5m"], gap < TTL_S["1h"]
            fork = future.fork
            standby = Worth(near * fork.five_minutes, far * fork.hour)
        read = scale * prices.read
        now = _Use(
            use.at,
            cold=min(scale + none, *written),
            hit_5m=read + five,
            hit_1h=read + hour,
            early_5m=scale + five,
            early_1h=scale + hour,
            fork=standby if standby != NOTHING else worth,
        )
        return Run(last, worth, standby), now


class Oracle:
    """Plans with the runs that `Foresight` found. `shelf` holds what was stored so far."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def plan(self, use: Use, runs: Sequence[Run]) -> Plan:
        """The breakpoints of the next prompt of the trace."""
        if not runs:
            return Plan(reason="too short to store")
        chain, ends = use.chain, ends_of(use.chain)
        standing = self._shelf.standing(chain, range(len(chain)), use.at)
        read, stored = standing.read, standing.stored
        coming = ends[standing.coming] if standing.coming >= 0 else 0
        places: list[Place] = []
        found: Place | None = None
        first = 0
        for run in runs:
            of_run = range(run.last, first - 1, -1)
            kept = next((i for i in of_run if i in stored), None)
            if kept is not None:
                ttl = stored[kept].ttl
                place = Place(kept, chain[kept].position, ends[kept], run.worth, run.standby, ttl)
                found = place if kept == read else found
                places.append(place)
            new = next((i for i in of_run if chain[i].may_break), -1)
            if new > read and ends[new] >= self._shelf.minimum and run.worth != NOTHING:
                places.append(Place(new, chain[new].position, ends[new], run.worth, run.standby))
            first = run.last + 1
        return Plan(choose(places, Situation(use.prices, found, coming)), "foreseen")
