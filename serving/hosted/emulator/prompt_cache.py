"""Prompt-cache accounting: what of a prompt is read from the cache, written to it, or neither.

A prompt is a row of positions (`positions.py`). Entries are written at breakpoints only; a
breakpoint looks back over 20 positions for an entry, its own being the first.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TLRUCache

from serving.hosted.emulator.positions import Position

LOOKBACK = 20
SECONDS = {"5m": 300.0, "1h": 3_600.0}


@dataclass(frozen=True, slots=True)
class CachePlan:
    """Input tokens of one request by what they cost, and the entries that come to life when its
    response begins: (key, lifetime in seconds).
    """

    input_tokens: int
    read: int
    write_5m: int
    write_1h: int
    entries: tuple[tuple[tuple[str, str], float], ...]
    started: float

    @property
    def written(self) -> int:
        return self.write_5m + self.write_1h

    @property
    def total(self) -> int:
        return self.input_tokens + self.read + self.written


@dataclass(frozen=True, slots=True)
class _Entry:
    expires: float
    seconds: float


class PromptCache:
    """The entries of all workspaces. `clock` counts seconds; at most `size` entries live."""

    def __init__(self, clock: Callable[[], float], size: int = 100_000) -> None:
        self._clock = clock
        self._entries: TLRUCache[tuple[str, str], _Entry] = TLRUCache(
            size, ttu=lambda _key, entry, _now: entry.expires, timer=clock
        )

    @property
    def size(self) -> int:
        """Entries that are alive."""
        self._entries.expire()
        return len(self._entries)

    def plan(
        self, workspace: str, positions: list[Position], minimum: int, *, cold: bool = False
    ) -> CachePlan:
        """What this prompt reads and writes now. Reading refreshes an entry for the lifetime it
        was written with; nothing is written before `commit`. Up to the longest prefix that is read
        all is billed as read, and no breakpoint within it writes an entry of its own. `cold`: the
        request does not reach what is stored.
        """
        started = self._clock()
        points = [i for i, p in enumerate(positions) if p.ttl is not None and p.tokens >= minimum]
        hits = [] if cold else [self._hit(workspace, positions, i, started) for i in points]
        read = max((hit.tokens for hit in hits if hit), default=0)
        written = [positions[i] for i in points if positions[i].tokens > read]
        hour = max((p.tokens for p in written if p.ttl == "1h"), default=read)
        last = max((p.tokens for p in written), default=read)
        return CachePlan(
            input_tokens=positions[-1].tokens - last,
            read=read,
            write_5m=last - hour,
            write_1h=hour - read,
            entries=tuple(((workspace, p.digest), SECONDS[p.ttl or "5m"]) for p in written),
            started=started,
        )

    def commit(self, plan: CachePlan) -> None:
        """The response has begun: its entries are usable from now, their time counted from the
        request's start. An entry that lives longer already keeps its time.
        """
        for key, seconds in plan.entries:
            old = self._entries.get(key)
            expires = plan.started + seconds
            if old is None or old.expires < expires:
                self._entries[key] = _Entry(expires, seconds)

    def _hit(
        self, workspace: str, positions: list[Position], point: int, now: float
    ) -> Position | None:
        """The longest stored prefix within the lookback of a breakpoint; its time starts anew."""
        for position in reversed(positions[: point + 1]):
            if position.slot <= positions[point].slot - LOOKBACK:
                return None
            key = (workspace, position.digest)
            entry = self._entries.get(key)
            if entry is not None:
                self._entries[key] = _Entry(now + entry.seconds, entry.seconds)
                return position
        return None
