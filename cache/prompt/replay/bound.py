"""A cost that no plan for a trace can beat: a lower bound, not the cost of a plan.

**What is left out.** Prompts are taken apart into *units*: the blocks up to a place where the
provider could store a prefix, from the place before it. A unit is read or written as a whole,
since entries end at such places only, and no entry is shorter than the model's minimum. Each unit
is planned by itself, knowing all of its uses, under fewer rules than the provider's: breakpoints
are not limited to four, the lookback reaches everywhere, and every use of a unit that is stored
renews it, even where it was stored as part of a prefix that this prompt does not share. Prices,
lifetimes, minimum lengths and when an entry can first be read are the provider's.

**Why no plan costs less.** Given any plan under the rules, let each unit do at each use what the
plan did with it: sent plain, written for either lifetime, or read. By the weaker rules a unit is
then stored for at least as long as it really was, so this is allowed here too and costs no more.
One thing must be granted for that: a prefix stored for five minutes that is read while more of the
prompt is written for an hour is part of that hour's entry, free of charge. So a unit that is read
may go over to an hour at once where what follows it in the prompt is used again within the hour;
where it is not, nobody will read such an entry in time.

**How it is found.** The units are independent, so the least cost is the sum of their least costs.
Going through the trace backwards, a unit needs five numbers: what its uses from here on cost if it
is found cold, stored for five minutes or an hour, or about to be stored so by an answer that has
not begun. Linear in the number of blocks.
"""

from dataclasses import dataclass

from cache.prompt.chain import TTL_S
from cache.prompt.oracle import Use


@dataclass(frozen=True, slots=True)
class _From:
    """What a token of a unit costs from its use at `at` on, by what that use finds."""

    at: float
    cold: float
    hit_5m: float
    hit_1h: float
    early_5m: float
    early_1h: float


_NEVER = _From(float("inf"), 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class _Unit:
    """`tokens` of it, and its next use."""

    tokens: int
    next: _From


class Bound:
    """Takes a trace's prompts from the last to the first. `minimum`: tokens of the shortest prefix
    that is stored; `begins_s`: seconds until what a prompt wrote can be read.
    """

    def __init__(self, minimum: int, *, begins_s: float = 0.0) -> None:
        self._minimum, self._begins_s = minimum, begins_s
        self._units: dict[bytes, _Unit] = {}
        self._plain = 0.0

    @property
    def tokens(self) -> float:
        """No plan for the prompts taken so far costs less, in tokens at the input price."""
        return self._plain + sum(unit.next.cold * unit.tokens for unit in self._units.values())

    def take(self, use: Use) -> None:
        units, rest = self._taken_apart(use)
        self._plain += rest * use.scale
        deeper, before, longer_before, step = _NEVER, None, False, _NEVER
        for unit in reversed(units):
            after = unit.next
            longer = deeper.at < use.at + TTL_S["1h"]
            if after is not before or longer != longer_before:  # neighbours mostly share both
                step = _step(use, after, self._begins_s, longer=longer)
            deeper, before, longer_before, unit.next = after, after, longer, step

    def _taken_apart(self, use: Use) -> tuple[list[_Unit], int]:
        """The prompt's units, and the tokens behind the last of them."""
        units: list[_Unit] = []
        end = tokens = 0
        for block in use.chain:
            end += block.tokens
            tokens += block.tokens
            if end < self._minimum or not block.may_break:
                continue
            unit = self._units.get(block.key)
            if unit is None:
                unit = self._units[block.key] = _Unit(tokens, _NEVER)
            units.append(unit)
            tokens = 0
        return units, tokens


def _step(use: Use, after: _From, begins_s: float, *, longer: bool) -> _From:
    """One use of a unit, the next of which is `after`. `longer`: what is read may go over to an
    hour. What is compared with times are the sums of `rules.Shelf`, to the last bit.
    """
    prices, scale = use.prices, use.scale
    five = after.hit_5m if after.at < use.at + TTL_S["5m"] else after.cold
    hour = after.hit_1h if after.at < use.at + TTL_S["1h"] else after.cold
    early = after.at < use.at + begins_s
    again = scale * prices.write_1h + hour  # pays where the next prompt has higher prices
    return _From(
        use.at,
        cold=min(
            scale + after.cold,
            scale * prices.write_5m + (after.early_5m if early else five),
            scale * prices.write_1h + (after.early_1h if early else hour),
        ),
        hit_5m=min(scale * prices.read + (min(five, hour) if longer else five), again),
        hit_1h=scale * prices.read + hour,
        early_5m=min(scale + five, again),
        early_1h=scale + hour,
    )
