"""What is believed to stand in the provider's cache: prefixes, how long, of how many tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from cache.prompt.chain import LOOKBACK, TTL_S, Block, Breakpoint, Ttl

KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Entry:
    """`tokens` of the prefix as the provider counted them, None where it has not said."""

    ttl: Ttl
    expires: float
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one chain: the deepest block whose prefix its breakpoints should find stored, and the
    deepest whose prefix they would find, had its time not run out. None where there is none.
    """

    live: int | None = None
    lapsed: int | None = None


class Entries:
    """The `KEPT` prefixes used last, the lapsed ones too: they say why something was not found.
    Times are in seconds of whatever clock the caller has.
    """

    def __init__(self) -> None:
        self._entries: LRUCache[bytes, Entry] = LRUCache(KEPT)

    def began(
        self, blocks: Sequence[Block], points: Sequence[Breakpoint], sent: float, live: int | None
    ) -> None:
        """The answer to a request sent at `sent` has begun: what it marked behind the prefix that
        it reads (up to block `live`) is stored from now on, its time counted from `sent`. Within
        that prefix nothing is written. A prefix that lives longer already keeps its time.
        """
        for point in points:
            if live is not None and point.index <= live:
                continue
            key, expires = blocks[point.index].key, sent + TTL_S[point.ttl]
            old = self._entries.get(key)
            if old is None or old.expires < expires:
                tokens = None if old is None else old.tokens
                self._entries[key] = Entry(point.ttl, expires, tokens)

    def read(
        self, blocks: Sequence[Block], points: Sequence[Breakpoint], sent: float, read: int
    ) -> None:
        """A request sent at `sent` read the prefix up to block `read`: its time starts anew, and
        that of what is stored at a breakpoint within it.
        """
        for index in {read, *(p.index for p in points if p.index < read)}:
            old = self._entries.get(blocks[index].key)
            if old is not None and old.expires > sent:
                expires = max(old.expires, sent + TTL_S[old.ttl])
                self._entries[blocks[index].key] = Entry(old.ttl, expires, old.tokens)

    def measured(self, key: bytes, tokens: int) -> None:
        old = self._entries.get(key)
        if old is not None:
            self._entries[key] = Entry(old.ttl, old.expires, tokens)

    def tokens(self, key: bytes) -> int | None:
        found = self._entries.get(key)
        return None if found is None else found.tokens

    def forget(self, keys: Sequence[bytes]) -> None:
        """They turned out not to be stored."""
        for key in keys:
            self._entries.pop(key, None)

    def standing(
        self, blocks: Sequence[Block], points: Sequence[Breakpoint], now: float
    ) -> Standing:
        live = lapsed = None
        for index in reachable(blocks, points):
            found = self._entries.get(blocks[index].key)
            if found is not None and found.expires > now:
                live = index
                break
            if found is not None and lapsed is None:
                lapsed = index
        return Standing(live, lapsed)


def reachable(blocks: Sequence[Block], points: Sequence[Breakpoint]) -> list[int]:
    """The blocks at which the breakpoints find a stored prefix, deepest first: each looks back over
    `LOOKBACK` positions, its own included.
    """
    found: list[int] = []
    bound = len(blocks)
    for point in sorted(points, key=lambda p: p.index, reverse=True):
        last = blocks[point.index].position - LOOKBACK
        index = min(point.index, bound - 1)
        while index >= 0 and blocks[index].position > last:
            found.append(index)
            index -= 1
        bound = min(bound, index + 1)
    return found
