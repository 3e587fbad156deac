"""What a prompt reads from the provider's cache and writes to it, by the published rules.

- A lookup happens at breakpoints only: each looks back over `LOOKBACK` positions, its own the
  first, for the longest prefix that is stored. A hit renews that entry for the lifetime that it was
  written with. Up to the longest hit, everything is read.
- From there to the last breakpoint, everything is written: up to the last breakpoint of an hour at
  that price, then at that of five minutes. Each breakpoint behind the hit stores one entry, whose
  time counts from the request's start and which can be read once the answer has begun. An entry is
  all of its prefix: one of an hour behind an entry of five minutes that was read keeps both.
- A breakpoint on fewer than the model's minimum of tokens does nothing.

Where the rules leave room, the dearer reading holds: a breakpoint within what is read stores
nothing, and an hour's breakpoint on an entry of five minutes does not prolong it.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from cache.prompt.chain import LOOKBACK, TTL_S, Block, Breakpoint, Ttl


@dataclass(frozen=True, slots=True)
class Billed:
    """Tokens of one prompt by what they cost. `hit` is the block whose prefix was found, or -1."""

    plain: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    hit: int = -1


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry: it can be read from `begins` on, and no longer at `expires`."""

    ttl: Ttl
    begins: float
    expires: float


@dataclass(frozen=True, slots=True)
class Standing:
    """The entries of a prompt's prefixes by their last blocks, as far as they can be read now;
    `read` is the deepest of them, or -1. `coming`: the deepest beyond it that is still being
    written by another request, or -1.
    """

    stored: dict[int, Stored]
    read: int
    coming: int


class Shelf:
    """The entries of one model and workspace; of more than `most`, those written or read longest
    ago are forgotten. `begins_s`: seconds from a request's start until its answer begins.
    """

    def __init__(self, minimum: int, *, begins_s: float = 0.0, most: int | None = 200_000) -> None:
        self._minimum = minimum
        self._begins_s = begins_s
        self._most = most
        self._entries: OrderedDict[bytes, Stored] = OrderedDict()

    @property
    def minimum(self) -> int:
        """Tokens of the shortest prefix that is stored."""
        return self._minimum

    def find(self, key: bytes, now: float) -> Stored | None:
        """The entry of this prefix, even if it can't be read yet."""
        entry = self._entries.get(key)
        if entry is None or entry.expires > now:
            return entry
        del self._entries[key]
        return None

    def standing(self, chain: Sequence[Block], among: Iterable[int], now: float) -> Standing:
        """What there is of the prefixes that end with these blocks, which come in their order."""
        stored: dict[int, Stored] = {}
        read = coming = -1
        for i in among:
            entry = self.find(chain[i].key, now)
            if entry is None:
                continue
            if entry.begins <= now:
                stored[i] = entry
                read, coming = i, -1
            else:
                coming = i
        return Standing(stored, read, coming)

    def forget(self, key: bytes) -> None:
        self._entries.pop(key, None)

    def send(
        self, chain: Sequence[Block], ends: Sequence[int], points: Sequence[Breakpoint], now: float
    ) -> Billed:
        """A request goes out with these breakpoints, in any order; those on no block do nothing.
        `ends`: tokens up to each block's end.
        """
        if not ends:
            return Billed()
        points = sorted(
            (p for p in points if 0 <= p.index < len(ends) and ends[p.index] >= self._minimum),
            key=lambda point: point.index,
        )
        hit = max((self._hit(chain, p.index, now) for p in points), default=-1)
        read = hour = last = ends[hit] if hit >= 0 else 0
        for point in points:
            if point.index > hit:
                self._store(chain[point.index].key, point.ttl, now)
                last = ends[point.index]
                hour = last if point.ttl == "1h" else hour
        self._bound(now)
        return Billed(ends[-1] - last, read, last - hour, hour - read, hit)

    def _hit(self, chain: Sequence[Block], index: int, now: float) -> int:
        """The block of the longest entry that a breakpoint there finds, renewed; -1 for none."""
        beyond = chain[index].position - LOOKBACK
        while index >= 0 and chain[index].position > beyond:
            key = chain[index].key
            entry = self._entries.get(key)
            if entry is not None and entry.begins <= now < entry.expires:
                expires = max(entry.expires, now + TTL_S[entry.ttl])
                self._entries[key] = Stored(entry.ttl, entry.begins, expires)
                self._entries.move_to_end(key)
                return index
            index -= 1
        return -1

    def _store(self, key: bytes, ttl: Ttl, now: float) -> None:
        old, begins = self.find(key, now), now + self._begins_s
        expires = now + TTL_S[ttl]
        if old is not None:  # written by a request beside this one
            begins = min(begins, old.begins)
            if old.expires > expires:
                ttl, expires = old.ttl, old.expires
        self._entries[key] = Stored(ttl, begins, expires)
        self._entries.move_to_end(key)

    def _bound(self, now: float) -> None:
        """Drops what has expired from the old end, and what is too much."""
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.expires > now and (self._most is None or len(self._entries) <= self._most):
                return
            del self._entries[key]


def ends_of(chain: Sequence[Block]) -> list[int]:
    """Tokens up to each block's end."""
    return list(accumulate(max(0, block.tokens) for block in chain))
