"""How soon a prefix will be used again, learned from the prefixes that were seen.

Every use of a prefix opens a gap that its next use ends. A prefix seen for the first time has no
gaps of its own, so gaps are also learned for groups of prefixes that are alike when they are used:

- **first**: never seen before. By what the new part continues (nothing, or a prefix that was
  used so often), by how many blocks follow it in the prompt (the end of a
  prompt is rarely shared), by how long ago the prefix it continues was used, by the new part's
  size.
- **seen**: by how often it was used before, how long ago, and its size.

Each group is a `Curve` that leans on the next wider one, up to all of its scope and all scopes, so
a group of few gaps says little that its parent does not. A prefix that was seen before has counts
of its own gaps, which lean on its group in the same way (`OWN_GAPS`, Beta-binomial).

The blocks of a prompt are not counted one by one: those that are alike and neighbours make one
cohort of weight 1, of which a later prompt returns the share that it shares.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from cache.prompt.chain import TTL_S, Block
from cache.prompt.economics import GapOdds
from cache.prompt.hazard import Cohort, Cohorts, Curve

OWN_GAPS = 2.0
"""A prefix's own gaps count half once there are so many."""
MEMORY = 16.0
"""Gaps of one prefix after which older ones count half."""
MAX_PREFIXES = 200_000
MAX_COHORTS = 200_000
MAX_CURVES = 20_000

_FINE = 8
_TAILS = (1, 2, 3, 4, 5, 8, 16)  # blocks that follow: 0, 1, 2, 3, 4, 5-7, 8-15, more
_SEEN_TAILS = 4
_AGES = (30.0, 300.0, 3_600.0)

_Label = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class _Prefix:
    """A prefix that was seen. Of its last use: when, in which cohort, and its share of that.
    Of its gaps: how many within five minutes, within an hour, and longer; and how many of those
    uses were forks.
    """

    last: float
    cohort: Cohort
    share: float
    uses: int = 1
    near: float = 0.0
    far: float = 0.0
    late: float = 0.0
    forks: float = 0.0

    @property
    def gaps(self) -> float:
        return self.near + self.far + self.late

    def used(self, gap: float) -> None:
        self.uses += 1
        if gap < TTL_S["5m"]:
            self.near += 1
        elif gap < TTL_S["1h"]:
            self.far += 1
        else:
            self.late += 1
        if self.gaps > MEMORY:
            self.near, self.far, self.late = self.near / 2, self.far / 2, self.late / 2
            self.forks /= 2


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring blocks of a prompt, `first` to `last`, whose prefixes are alike: used equally
    often before, `uses` times, and `gap` seconds ago (None: never).
    """

    first: int
    last: int
    uses: int
    gap: float | None
    label: _Label

    def tokens(self, ends: Sequence[int]) -> int:
        return ends[self.last] - (ends[self.first - 1] if self.first else 0)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The next gap of a prefix that is used now, the gaps after that one, and the share of its uses
    that leave the common path there.
    """

    odds: GapOdds
    later: GapOdds
    forks: float


class ReuseModel:
    """Learns from `observe`; bounded by `MAX_PREFIXES`, `MAX_COHORTS` and `MAX_CURVES`, the oldest
    being forgotten. Times are seconds of any clock; where it goes back, it is taken to stand still.
    A `scope` learns from its own prompts, and from others only how soon anything comes back.
    """

    def __init__(self) -> None:
        self._prefixes: OrderedDict[tuple[str, bytes], _Prefix] = OrderedDict()
        self._all = Curve()
        self._curves: LRUCache[_Label, Curve] = LRUCache(MAX_CURVES)
        self._cohorts = Cohorts(MAX_COHORTS)
        self._start: float | None = None
        self._now = 0.0

    def parts(
        self, chain: Sequence[Block], ends: Sequence[int], now: float, scope: str
    ) -> list[Part]:
        """The chain in parts that are alike, in order. `ends`: tokens up to each block's end."""
        self._advance(now)
        return self._parts(ends, self._seen(chain, scope), scope)

    def outlook(self, chain: Sequence[Block], part: Part, scope: str) -> Outlook:
        """Of the prefix that ends with the part's last block, were it used now. Of a part that
        `parts` returned for this chain and time.
        """
        odds = self._curve(part.label).odds(self._now)
        later = self._curve((scope, "seen", _uses(part.uses + 1))).odds(self._now)
        own = self._prefixes.get((scope, chain[part.last].key)) if part.uses else None
        if own is None:
            return Outlook(odds, later, 0.0)
        gaps = OWN_GAPS + own.gaps
        near = (OWN_GAPS * odds.within_5m + own.near) / gaps
        far = (OWN_GAPS * odds.within_1h + own.far) / gaps
        return Outlook(GapOdds(near, far), later, own.forks / gaps)

    def observe(
        self, chain: Sequence[Block], ends: Sequence[int], now: float, scope: str
    ) -> list[Part]:
        """The chain was used now. Returns its parts as they were before."""
        self._advance(now)
        seen = self._seen(chain, scope)
        parts = self._parts(ends, seen, scope)
        after: Part | None = None
        for part in reversed(parts):  # the shortest prefixes last: they are forgotten last
            if part.uses and after is not None and after.gap != part.gap:
                seen[part.last].forks += 1  # its last user went on elsewhere
            self._use(chain, part, seen, part.tokens(ends), scope)
            after = part
        while len(self._prefixes) > MAX_PREFIXES:
            self._prefixes.popitem(last=False)
        return parts

    def _advance(self, now: float) -> None:
        if self._start is None:
            self._start = now
        self._now = max(self._now, now - self._start)
        self._cohorts.advance(self._now)

    def _seen(self, chain: Sequence[Block], scope: str) -> list[_Prefix]:
        """What is known of the chain's prefixes, up to the first that is new."""
        found: list[_Prefix] = []
        for block in chain:
            prefix = self._prefixes.get((scope, block.key))
            if prefix is None:
                break
            found.append(prefix)
        return found

    def _parts(self, ends: Sequence[int], seen: Sequence[_Prefix], scope: str) -> list[Part]:
        found: list[Part] = []
        first = 0
        for i, prefix in enumerate(seen):
            after = seen[i + 1] if i + 1 < len(seen) else None
            tail = min(len(ends) - 1 - i, _SEEN_TAILS)
            if (
                after is None
                or after.last != prefix.last
                or _alike(after) != _alike(prefix)
                or tail < _SEEN_TAILS
            ):
                gap = self._now - prefix.last
                label = (scope, "seen", _uses(prefix.uses), tail, _age(gap), _size(ends[i]))
                found.append(Part(first, i, prefix.uses, gap, label))
                first = i + 1
        if first < len(ends):
            found += self._new_parts(ends, first, seen[-1] if seen else None, scope)
        return found

    def _new_parts(
        self, ends: Sequence[int], start: int, on: _Prefix | None, scope: str
    ) -> list[Part]:
        """The blocks from `start` on, by how many follow them."""
        label: _Label = (scope, "first", 0 if on is None else _often(on.uses))
        age = () if on is None else (_age(self._now - on.last),)
        size = _size(ends[-1] - (ends[start - 1] if start else 0))
        found: list[Part] = []
        last = len(ends) - 1
        for tail, follow in enumerate((*_TAILS, len(ends))):
            first = max(start, len(ends) - follow)
            if first <= last:
                found.append(Part(first, last, 0, None, (*label, tail, *age, size)))
                last = first - 1
        return found[::-1]

    def _use(
        self, chain: Sequence[Block], part: Part, seen: Sequence[_Prefix], tokens: int, scope: str
    ) -> None:
        returned: dict[int, tuple[Cohort, float]] = {}
        cohort = self._cohorts.add(self._line(part.label))
        for i in range(part.last, part.first - 1, -1):
            key, share = (scope, chain[i].key), max(0, chain[i].tokens) / max(1, tokens)
            if i >= len(seen):
                self._prefixes[key] = _Prefix(self._now, cohort, share)
                self._prefixes.move_to_end(key)
                continue
            prefix = seen[i]
            old = returned.get(id(prefix.cohort), (prefix.cohort, 0.0))
            returned[id(prefix.cohort)] = (prefix.cohort, old[1] + prefix.share)
            prefix.used(self._now - prefix.last)
            prefix.last, prefix.cohort, prefix.share = self._now, cohort, share
            self._prefixes.move_to_end(key)
        for old_cohort, weight in returned.values():
            self._cohorts.returned(old_cohort, weight)

    def _curve(self, label: _Label) -> Curve:
        found = self._curves.get(label)
        if found is None:
            found = Curve(self._curve(label[:-1]) if len(label) > 1 else self._all)
            self._curves[label] = found
        return found

    def _line(self, label: _Label) -> tuple[Curve, ...]:
        """The group and all wider ones."""
        line: list[Curve] = []
        curve: Curve | None = self._curve(label)
        while curve is not None:
            line.append(curve)
            curve = curve.parent
        return tuple(line)


def _alike(prefix: _Prefix) -> int:
    """Blocks that were used equally often share their fate; of many uses, about equally often."""
    return prefix.uses if prefix.uses <= _FINE else _FINE + prefix.uses.bit_length()


def _uses(uses: int) -> int:
    return uses if uses < 4 else 4 if uses < 8 else 5


def _often(uses: int) -> int:
    """Once is a conversation that goes on; many times, a prompt that all of a feature share."""
    return uses if uses < 2 else 2 if uses < 4 else 3 if uses < 16 else 4


def _age(gap: float) -> int:
    return sum(gap > bound for bound in _AGES)


def _size(tokens: int) -> int:
    """Half octaves."""
    tokens = max(tokens, 256)
    octave = tokens.bit_length()
    return 2 * octave + (tokens >= 1.414 * (1 << (octave - 1)))
