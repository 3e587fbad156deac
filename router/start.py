"""Where a conversation's next turn starts: at the tier that serves it, unless there is a reason to
move.

Pure. `docs/cascade.md` says the rules in words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router.known import Known, TierRecord
from router.plan import ConversationNote


@dataclass(frozen=True, slots=True)
class Option:
    """An eligible tier. `cost`: USD that one attempt is expected to cost, None where the price is
    unknown. `warm_tokens` of the prompt are warm there.
    """

    tier: str
    cost: float | None
    warm_tokens: int
    record: TierRecord


@dataclass(frozen=True, slots=True)
class Start:
    """`index` among the options."""

    index: int
    reason: str
    note: ConversationNote


def expected_costs(options: Sequence[Option]) -> list[float | None]:
    """For each option, what answering from there on is expected to cost: its attempt, and with the
    probability that its answer does not pass all that comes above. None where its own price is
    unknown; unknown prices above it are left out.

        E[i] = cost[i] + failure_share[i] * E[i + 1],  E[n] = 0
    """
    found: list[float | None] = []
    above = 0.0
    for option in reversed(options):
        if option.cost is None:
            found.append(None)
            continue
        above = option.cost + option.record.failure_share * above
        found.append(above)
    return found[::-1]


class Continuing:
    """The choice for one turn. `options` are cheapest first, from `lowest` (an index) on the task
    allows to start; `margin` is the share by which another tier must be cheaper to be moved to;
    `missing` says why a tier is no option.
    """

    def __init__(
        self,
        options: Sequence[Option],
        known: Known,
        *,
        lowest: int,
        margin: float,
        missing: Callable[[str], str],
    ) -> None:
        self._options = options
        self._known = known
        self._lowest = lowest
        self._margin = margin
        self._missing = missing
        self._expected = expected_costs(options)
        self._index = {option.tier: i for i, option in enumerate(options)}

    def start(self) -> Start:
        """The tier that served the last turn, if its answer passed and nothing is cheaper by the
        margin; else the cheapest by expected cost of those above what failed.
        """
        home = self._home()
        usable = self._usable(home)
        if not usable:
            highest = len(self._options) - 1
            return self._at(highest if home is None else home)
        if home is not None and home in usable:
            cheapest = self._cheapest(usable)
            moves = cheapest is not None and self._clearly_cheaper(cheapest, home)
            return self._at(cheapest if cheapest is not None and moves else home)
        # An unknown price never counts as low; where the first one's is unknown, it is first.
        cheapest = None if self._expected[usable[0]] is None else self._cheapest(usable)
        return self._at(usable[0] if cheapest is None else cheapest)

    def _home(self) -> int | None:
        home = self._known.home
        index = None if home is None else self._index.get(home)
        return None if index is None or index < self._lowest else index

    def _usable(self, home: int | None) -> list[int]:
        """Where a tier is failing, those below it are not tried either; but the one that served
        last is, unless it is failing itself.
        """
        failing = [i for i, o in enumerate(self._options) if self._known.failing(o.tier)]
        barred = max(failing, default=-1)
        found = [i for i in range(self._lowest, len(self._options)) if i > barred]
        if home is not None and home not in found and home not in failing:
            found.insert(0, home)
        return found

    def _cheapest(self, usable: Sequence[int]) -> int | None:
        """None where no price is known."""
        priced = [(cost, i) for i in usable if (cost := self._expected[i]) is not None]
        return min(priced)[1] if priced else None

    def _clearly_cheaper(self, other: int, home: int) -> bool:
        there, here = self._expected[other], self._expected[home]
        return there is not None and here is not None and there < (1 - self._margin) * here

    def _at(self, index: int) -> Start:
        option = self._options[index]
        last = self._known.last
        before = last.first if last is not None else self._known.home
        cost = f"{self._usd(index)} expected, {option.warm_tokens} prompt tokens warm"
        if before is None or before == option.tier:
            why = self._why_here(index)
            note = ConversationNote(f"stay: {option.tier}", f"{why}; {cost}")
            return Start(index, f"the conversation stays: {cost}", note)
        why = self._why_away(before) or self._cheaper_than(before, index)
        note = ConversationNote(f"switch: {before} -> {option.tier}", f"{why}; {cost}")
        return Start(index, f"the conversation moves: {why}", note)

    def _why_here(self, index: int) -> str:
        tier = self._options[index].tier
        if self._known.failing(tier):
            return "its last turn did not pass, but no other tier served it better"
        other = self._cheapest(self._usable(index))
        if other is None or other == index or self._expected[index] is None:
            return "its last turn passed"
        name, usd = self._options[other].tier, self._usd(other)
        return f"its last turn passed, and {name} at {usd} is not {self._margin:.0%} cheaper"

    def _why_away(self, before: str) -> str | None:
        """Why the conversation cannot stay at `before`, None where only money is the reason."""
        index = self._index.get(before)
        if index is None:
            return f"{before} cannot: {self._missing(before)}"
        if self._known.failing(before):
            streak = self._options[index].record.streak
            times = f"last {streak} turns" if streak > 1 else "last turn"
            return f"the {times} did not pass at {before}"
        return f"{before} stands below the task's start tier" if index < self._lowest else None

    def _cheaper_than(self, before: str, to: int) -> str:
        index = self._index[before]
        option = self._options[index]
        went_cold = option.record.warmth.tokens > 0 and option.warm_tokens == 0
        why = "its prefix went cold" if went_cold else f"{self._options[to].tier} is cheaper"
        return f"{why}: {self._usd(index)} at {before}"

    def _usd(self, index: int) -> str:
        cost = self._expected[index]
        return "unknown USD" if cost is None else f"{cost:.3g} USD"
