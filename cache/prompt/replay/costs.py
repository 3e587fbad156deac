"""Replays a trace under each policy and adds up what the provider would have billed.

Every policy sees the same prompts, rules and prices, and has a cache of its own. Only the
oracle knows what comes. Billed is the input side by what becomes of each token, and the output,
which is the same for all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from cache.prompt.chain import Block, Plan, Ttl
from cache.prompt.economics import CachePrices
from cache.prompt.oracle import Foresight, Oracle, Run, Use
from cache.prompt.policy import PrefixPolicy
from cache.prompt.replay.bound import Bound
from cache.prompt.replay.fixed import PLACEMENTS, Always, Never
from cache.prompt.replay.trace import Trace
from cache.prompt.rules import Billed, Shelf, ends_of
from serving.costs.price import Price
from serving.wire.completion import Usage


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which a trace is billed. `minimum`: tokens of the shortest prefix that is stored.
    `begins_s`: seconds until an answer begins and what its request wrote can be read.
    """

    price: Price
    minimum: int
    begins_s: float = 0.0
    output: bool = True


@dataclass(slots=True)
class Total:
    """Of one policy: USD, and prompt tokens by what became of them."""

    usd: Decimal = Decimal(0)
    plain: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0

    def add(self, billed: Billed, usd: Decimal) -> None:
        self.usd += usd
        self.plain += billed.plain
        self.read += billed.read
        self.write_5m += billed.write_5m
        self.write_1h += billed.write_1h


@dataclass(frozen=True, slots=True)
class Costs:
    """`oracle`: the cheapest plan found that knows the whole trace and keeps all rules. `bound`: no
    plan can cost fewer USD (`bound.py`); where both are equal, that is the optimum. `output_usd` is
    contained in all of them. `seconds` from first to last request.
    """

    none: Total
    always_5m: Total
    always_1h: Total
    planned: Total
    oracle: Total
    bound: Decimal
    output_usd: Decimal
    requests: int
    seconds: float


class _Policy(Protocol):
    def plan(self, chain: Sequence[Block], now: float) -> Plan: ...

    def observe(self, chain: Sequence[Block], plan: Plan, now: float) -> None: ...


@dataclass(slots=True)
class _Contender:
    policy: _Policy
    shelf: Shelf
    total: Total = field(default_factory=Total)


class _Foreseeing:
    """The plan that knows the future, as a policy. `use` and `runs` are the next prompt's."""

    def __init__(self, shelf: Shelf) -> None:
        self._oracle = Oracle(shelf)
        self.use: Use | None = None
        self.runs: Sequence[Run] = ()

    def plan(self, _chain: Sequence[Block], _now: float) -> Plan:
        assert self.use is not None
        return self._oracle.plan(self.use, self.runs)

    def observe(self, chain: Sequence[Block], plan: Plan, now: float) -> None:
        """It knew before."""


def replay(trace: Trace, terms: Terms, *, advanced: Callable[[], None] = lambda: None) -> Costs:
    """What each policy costs. `advanced` is called after each request, for a progress bar."""
    return _Replay(trace, terms).run(advanced)


class _Replay:
    def __init__(self, trace: Trace, terms: Terms) -> None:
        self._trace, self._terms = trace, terms
        self._base = CachePrices.of(terms.price.rates)
        fixed: dict[Ttl, list[_Contender]] = {"5m": [], "1h": []}
        for ttl, row in fixed.items():
            for placement in PLACEMENTS:
                shelf = self._shelf()
                row.append(_Contender(Always(ttl, placement, shelf), shelf))
        self._fixed = fixed
        self._none = _Contender(Never(), self._shelf())
        policy = PrefixPolicy(self._base, terms.minimum, begins_s=terms.begins_s)
        self._planned = _Contender(policy, self._shelf())
        shelf = self._shelf()
        self._foreseeing = _Foreseeing(shelf)
        self._oracle = _Contender(self._foreseeing, shelf)

    def _shelf(self) -> Shelf:
        return Shelf(self._terms.minimum, begins_s=self._terms.begins_s, most=None)

    @property
    def _all(self) -> list[_Contender]:
        fixed = [c for row in self._fixed.values() for c in row]
        return [self._none, *fixed, self._planned, self._oracle]

    def run(self, advanced: Callable[[], None]) -> Costs:
        trace = self._trace
        runs, least = self._foresee()
        contenders, output = self._all, Decimal(0)
        for number in trace:
            use = self._use(number)
            self._foreseeing.use, self._foreseeing.runs = use, runs[number]
            ends = ends_of(use.chain)
            for contender in contenders:
                plan = contender.policy.plan(use.chain, use.at)
                billed = contender.shelf.send(use.chain, ends, plan.breakpoints, use.at)
                contender.policy.observe(use.chain, plan, use.at)
                contender.total.add(billed, self._usd(number, billed))
            output += self._usd(number, Billed())
            advanced()
        return self._costs(least + output, output)

    def _costs(self, least: Decimal, output: Decimal) -> Costs:
        def cheapest(row: Sequence[_Contender]) -> Total:
            return min((c.total for c in row), key=lambda total: total.usd)

        oracle = cheapest(self._all)  # who knows the future knows who else did better
        times = [self._trace.times[number] for number in self._trace]
        return Costs(
            none=self._none.total,
            always_5m=cheapest(self._fixed["5m"]),
            always_1h=cheapest(self._fixed["1h"]),
            planned=self._planned.total,
            oracle=oracle,
            bound=min(least, oracle.usd),  # floats may round beyond a bound that is reached
            output_usd=output,
            requests=len(times),
            seconds=times[-1] - times[0],
        )

    def _foresee(self) -> tuple[list[list[Run]], Decimal]:
        terms = self._terms
        foresight = Foresight(terms.minimum, begins_s=terms.begins_s)
        bound = Bound(terms.minimum, begins_s=terms.begins_s)
        runs: list[list[Run]] = [[] for _ in range(len(self._trace))]
        for number in reversed(self._trace):
            use = self._use(number)
            runs[number] = foresight.take(use)
            bound.take(use)
        return runs, Decimal(bound.tokens) * self._base.input

    def _use(self, number: int) -> Use:
        prices = CachePrices.of(self._terms.price.rates_for(self._trace.prompt_tokens[number]))
        scale = float(prices.input / self._base.input) if self._base.input else 1.0
        chain = self._trace.chain(number)
        return Use(chain, self._trace.times[number], prices.relative, scale)

    def _usd(self, number: int, billed: Billed) -> Decimal:
        """What the provider bills for it. Without prompt tokens it is the output alone."""
        written = billed.write_5m + billed.write_1h
        prompt = billed.plain + billed.read + written
        completion = self._trace.completion_tokens[number] if self._terms.output else 0
        usage = Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=billed.read,
            cache_write_tokens=written,
            cache_write_1h_tokens=billed.write_1h,
        )
        rates = self._terms.price.rates_for(self._trace.prompt_tokens[number])
        return rates.cost(usage)
