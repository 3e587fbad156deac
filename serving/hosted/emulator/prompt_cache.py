"""Prompt-cache accounting: what of a prompt is read from the cache, written to it, or neither.

A prompt is a row of positions: tools, then system blocks, then message blocks. Each position has
the digest of everything up to it. Entries are written at breakpoints only; a breakpoint looks back
over 20 positions for an entry, a run of tool_use or of tool_result blocks counting as one.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cachetools import TLRUCache
from pydantic import BaseModel

from serving.hosted.emulator.tokens import block_tokens
from serving.hosted.emulator.wire import CacheControl, Prompt
from serving.hosted.models import ModelAbility

LOOKBACK = 20
SECONDS = {"5m": 300.0, "1h": 3_600.0}
RUNS = frozenset({"tool_use", "tool_result"})
UNCACHEABLE = frozenset({"thinking", "redacted_thinking"})


@dataclass(frozen=True, slots=True)
class Position:
    """`digest` and `tokens` cover the prompt up to here; `slot` counts positions for the lookback;
    `ttl` is set at a breakpoint.
    """

    digest: str
    tokens: int
    slot: int
    ttl: str | None


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

    def plan(self, workspace: str, positions: list[Position], minimum: int) -> CachePlan:
        """What this prompt reads and writes now. Reading refreshes an entry; nothing is written
        before `commit`.
        """
        started = self._clock()
        points = [p for p in positions if p.ttl is not None and p.tokens >= minimum]
        hits = [h for p in points if (h := self._hit(workspace, positions, p, started))]
        read = max((h.tokens for h in hits), default=0)
        hour = max((p.tokens for p in points if p.ttl == "1h"), default=0)
        last = max((p.tokens for p in points), default=0)
        write_1h = max(0, hour - read)
        write_5m = max(0, last - max(hour, read))
        total = positions[-1].tokens
        entries = tuple(((workspace, p.digest), SECONDS[p.ttl or "5m"]) for p in points)
        left = total - max(read, last)
        return CachePlan(left, read, write_5m, write_1h, entries, started)

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
        self, workspace: str, positions: list[Position], point: Position, now: float
    ) -> Position | None:
        """The longest stored prefix within the lookback of a breakpoint; its time starts anew."""
        for position in reversed(positions):
            if position.tokens > point.tokens or position.slot > point.slot:
                continue
            if position.slot <= point.slot - LOOKBACK:
                return None
            key = (workspace, position.digest)
            entry = self._entries.get(key)
            if entry is not None:
                self._entries[key] = _Entry(now + entry.seconds, entry.seconds)
                return position
        return None


def positions(
    prompt: Prompt, ability: ModelAbility, dropped: frozenset[tuple[int, int]] = frozenset()
) -> list[Position]:
    """The prompt's positions. `dropped` are (message, block) places of thinking blocks that the
    model does not see. Automatic caching puts a breakpoint on the last block that can carry one.
    """
    digest = hashlib.sha256(prompt.model.encode()).hexdigest()
    rows: list[Position] = []
    tokens = slot = 0
    previous, section = "", ""
    cacheable = -1
    for where, block in _blocks(prompt, dropped):
        if where.split(".")[0] != section:
            section = where.split(".")[0]
            digest = _mix(digest, section, _settings(prompt) if section == "messages" else "")
        kind = str(getattr(block, "type", "tool"))
        slot += not (kind in RUNS and kind == previous)
        previous = kind
        digest = _mix(digest, where, block.model_dump_json(exclude={"cache_control": True}))
        tokens += block_tokens(block, ability.tokenizer)
        control: CacheControl | None = getattr(block, "cache_control", None)
        rows.append(Position(digest, tokens, slot, control.ttl if control else None))
        if kind not in UNCACHEABLE:
            cacheable = len(rows) - 1
    if prompt.cache_control is not None and cacheable >= 0 and rows[cacheable].ttl is None:
        row = rows[cacheable]
        rows[cacheable] = Position(row.digest, row.tokens, row.slot, prompt.cache_control.ttl)
    return rows


def _blocks(prompt: Prompt, dropped: frozenset[tuple[int, int]]) -> Iterator[tuple[str, BaseModel]]:
    for tool in prompt.tools:
        yield "tools", tool
    for block in prompt.system:
        yield "system", block
    for i, message in enumerate(prompt.messages):
        for j, content in enumerate(message.content):
            if (i, j) not in dropped:
                yield f"messages.{message.role}", content


def _settings(prompt: Prompt) -> str:
    """What invalidates the messages, but not tools and system, when it changes."""
    images = any(b.type == "image" for m in prompt.messages for b in m.content)
    parts = [prompt.tool_choice, prompt.thinking, prompt.output_config]
    return f"{images}" + "".join(p.model_dump_json() if p is not None else "-" for p in parts)


def _mix(digest: str, *parts: str) -> str:
    return hashlib.sha256("\0".join((digest, *parts)).encode("utf-8", "surrogatepass")).hexdigest()
