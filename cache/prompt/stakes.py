"""How far ahead of plain habit the planner is, and so what it may stake on hours.

An hour's entry costs 0.75 input prices more than one of five minutes and pays back over many hits,
which nobody has seen yet when it is written. Estimates of what happens within an hour rest on few
observations for a long time, and reuse that stops early makes every such write a loss. So hours are
paid from what was saved: the planner may stake the lead of its own costs over the habit of storing
everything for five minutes, and a little of all that it spent (`SEED`). A planner that stakes at
most its lead never falls more than `SEED` behind that habit, however wrong its estimates; where
five minutes are too short to be of use, habit wastes every write and the lead grows fast.
Nor may they bring the planner more than `LOSS` above never storing anything: where nothing comes
again within five minutes, that habit is easily beaten and a lead over it says nothing. Once storing
everything for an hour would have been the cheapest of all, hours need no lead.

The habits are counted as if they could have a breakpoint after every block, so they are cheaper
here than any real plan: what is said to be a lead is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cache.prompt.chain import TTL_S
from cache.prompt.economics import RelativePrices
from cache.prompt.reuse import Part
from cache.prompt.rules import Billed

SEED = 0.005
LOSS = 0.08
HALF_LIFE_S = 86_400.0


@dataclass(slots=True, eq=False)
class Stakes:
    """Costs so far, in tokens at the input price, older ones counting half after `HALF_LIFE_S`."""

    own: float = 0.0
    plain: float = 0.0
    five_minutes: float = 0.0
    hour: float = 0.0
    since: float = 0.0

    def may_stake(self, tokens: float, prices: RelativePrices) -> bool:
        """Whether so many tokens may be written for an hour now."""
        if self.hour < min(self.plain, self.five_minutes):
            return True
        lead = self.five_minutes - self.own + SEED * self.own
        unspent = self.plain - self.own + LOSS * self.own
        return (
            tokens * (prices.write_1h - prices.write_5m) <= lead
            and tokens * (prices.write_1h - 1.0) <= unspent
        )

    def add(
        self,
        parts: Sequence[Part],
        ends: Sequence[int],
        billed: Billed,
        prices: RelativePrices,
        *,
        storable: bool,
    ) -> None:
        """What a prompt cost, beside what habit would have paid. `storable`: it has the minimum of
        tokens.
        """
        self.own += (
            billed.plain
            + billed.read * prices.read
            + billed.write_5m * prices.write_5m
            + billed.write_1h * prices.write_1h
        )
        for part in parts:
            tokens = ends[part.last] - (ends[part.first - 1] if part.first else 0)
            gap = float("inf") if part.gap is None else part.gap
            self.plain += tokens
            if not storable:
                self.five_minutes += tokens
                self.hour += tokens
                continue
            self.five_minutes += tokens * (prices.read if gap <= TTL_S["5m"] else prices.write_5m)
            self.hour += tokens * (prices.read if gap <= TTL_S["1h"] else prices.write_1h)

    def age(self, now: float) -> None:
        if now - self.since < HALF_LIFE_S:
            return
        if self.since:
            self.own, self.plain = self.own / 2, self.plain / 2
            self.five_minutes, self.hour = self.five_minutes / 2, self.hour / 2
        self.since = now
