"""Chooses the breakpoints of each prompt by expected cost, from what was seen of earlier ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from cache.prompt.chain import TTL_S, Block, Breakpoint, Plan
from cache.prompt.economics import NOTHING, CachePrices, Worth, standby, worth
from cache.prompt.placement import Place, Situation, choose
from cache.prompt.reuse import Outlook, Part, ReuseModel
from cache.prompt.rules import Shelf, Stored, ends_of
from cache.prompt.stakes import Stakes

MAX_SCOPES = 4_096
HEDGE = 1.01
"""Every prompt that shares a prefix shares the shorter ones, and some share no more than those:
where no difference was seen yet, so much is assumed.
"""


@dataclass(frozen=True, slots=True)
class _View:
    """A prompt, and what is known of it now. `ends`: tokens up to each block's end. `stored`: the
    entries that can be read, by block; `read` is the deepest of them, or -1. `coming`: tokens up to
    an entry beyond it that is being written by another request.
    """

    chain: Sequence[Block]
    ends: list[int]
    parts: list[Part]
    outlooks: list[Outlook]
    stored: dict[int, Stored]
    read: int
    coming: int
    now: float

    @property
    def read_end(self) -> int:
        return self.ends[self.read] if self.read >= 0 else 0


class PrefixPolicy:
    """For the prompts of one model in one workspace, whose prefixes share a cache.

    `plan` decides and changes nothing; `observe` is told what was sent, whether planned here or
    not. What is stored at the provider is taken to be what follows by the rules (`rules.py`) from
    what was sent, until `correct` says otherwise. A `scope` (a feature, a tenant) learns from its
    own prompts. Memory is bounded. Times are seconds of any clock; nothing here raises.
    """

    def __init__(self, prices: CachePrices, min_tokens: int, *, begins_s: float = 0.0) -> None:
        """`min_tokens`: the shortest prefix that the model stores. `begins_s`: seconds from a
        request's start until its answer begins and what it wrote can be read; 0 where followers
        are held back until then.
        """
        self._prices = prices.relative
        self._shelf = Shelf(min_tokens, begins_s=begins_s)
        self._reuse = ReuseModel()
        self._stakes: LRUCache[str, Stakes] = LRUCache(MAX_SCOPES)

    def plan(self, chain: Sequence[Block], now: float, *, scope: str = "") -> Plan:
        """The breakpoints for this prompt, were it sent now."""
        ends = ends_of(chain)
        tokens = ends[-1] if ends else 0
        if tokens < max(1, self._shelf.minimum):
            return Plan(reason=f"{tokens:,} tokens, and {self._shelf.minimum:,} are the fewest")
        view = self._view(chain, ends, now, scope)
        stakes = self._stakes.get(scope)
        hours = stakes is not None and stakes.may_stake(0.0, self._prices)
        points = self._points(view, hours=hours)
        if hours and stakes is not None:
            staked = self._for_an_hour(view, points)
            if staked and not stakes.may_stake(staked, self._prices):
                points = self._points(view, hours=False)
        return self._explained(view, points)

    def observe(self, chain: Sequence[Block], plan: Plan, now: float, *, scope: str = "") -> None:
        """The prompt was sent with these breakpoints."""
        ends = ends_of(chain)
        if not ends:
            return
        billed = self._shelf.send(chain, ends, plan.breakpoints, now)
        parts = self._reuse.observe(chain, ends, now, scope)
        stakes = self._stakes.get(scope)
        if stakes is None:
            stakes = self._stakes[scope] = Stakes()
        stakes.age(now)
        storable = ends[-1] >= self._shelf.minimum
        stakes.add(parts, ends, billed, self._prices, storable=storable)

    def correct(self, chain: Sequence[Block], read_tokens: int) -> None:
        """The usage of a prompt shows that no more than this was read: what was thought to be
        stored beyond that is not. What the prompt itself wrote there is forgotten, too.
        """
        for block, end in zip(chain, ends_of(chain), strict=True):
            if end > read_tokens:
                self._shelf.forget(block.key)

    def _view(self, chain: Sequence[Block], ends: list[int], now: float, scope: str) -> _View:
        parts = self._reuse.parts(chain, ends, now, scope)
        used = (i for part in parts if part.uses for i in range(part.first, part.last + 1))
        standing = self._shelf.standing(chain, used, now)
        coming = ends[standing.coming] if standing.coming >= 0 else 0
        outlooks = [self._reuse.outlook(chain, part, scope) for part in parts]
        return _View(chain, ends, parts, outlooks, standing.stored, standing.read, coming, now)

    def _points(self, view: _View, *, hours: bool) -> tuple[Breakpoint, ...]:
        places: list[Place] = []
        read: Place | None = None
        value = NOTHING
        for part, outlook in zip(reversed(view.parts), reversed(view.outlooks), strict=True):
            odds, later = outlook.odds, outlook.later
            deeper, value = value, worth(odds, later, self._prices, hours=hours)
            value = Worth(
                max(value.five_minutes, deeper.five_minutes * HEDGE),
                max(value.hour, deeper.hour * HEDGE),
            )
            spare = standby(odds, later, outlook.forks, self._prices, hours=hours)
            kept = next((i for i in range(part.last, part.first - 1, -1) if i in view.stored), None)
            new = self._last_breakable(view, part)
            if new is not None:
                places.append(self._place(view, new, value, spare))
            if kept is not None:
                place = self._place(view, kept, value, spare)
                places.append(place)
                read = place if kept == view.read else read
        places.reverse()
        return choose(places, Situation(self._prices, read, view.coming, hours))

    def _place(self, view: _View, index: int, value: Worth, spare: Worth) -> Place:
        entry = view.stored.get(index)
        ttl = None if entry is None else entry.ttl
        if entry is not None:
            aged = 1.0 - (entry.expires - view.now) / TTL_S[entry.ttl]
            spare = Worth(spare.five_minutes * aged, spare.hour * aged)
        return Place(index, view.chain[index].position, view.ends[index], value, spare, ttl)

    def _last_breakable(self, view: _View, part: Part) -> int | None:
        """The part's last block at which something new can be stored."""
        for i in range(part.last, max(part.first - 1, view.read), -1):
            if view.ends[i] < self._shelf.minimum:
                return None
            if view.chain[i].may_break:
                return i
        return None

    def _for_an_hour(self, view: _View, points: Sequence[Breakpoint]) -> int:
        """Tokens that the breakpoints have written for an hour."""
        hours = [view.ends[p.index] for p in points if p.ttl == "1h" and p.index > view.read]
        return max(hours, default=view.read_end) - view.read_end

    def _explained(self, view: _View, points: tuple[Breakpoint, ...]) -> Plan:
        new = [p for p in points if p.index > view.read]
        read = view.read_end if points else 0
        written = view.ends[new[-1].index] - read if new else 0
        said = [f"reads {read:,} tokens that are stored"] if read else []
        best = new[-1].index if new else len(view.chain) - 1
        outlook = next(o for p, o in zip(view.parts, view.outlooks, strict=True) if p.last >= best)
        odds = outlook.odds
        chances = (
            f"{odds.within_5m:.0%} come again within 5 minutes,"
            f" {odds.within_5m + odds.within_1h:.0%} within an hour"
        )
        if new:
            ttls = " and ".join(sorted({p.ttl for p in new}))
            said.append(f"stores {written:,} for {ttls}: of such prompts {chances}")
        else:
            said.append(f"storing more would not pay: of such prompts {chances}")
        return Plan(points, "; ".join(said), read, written)
