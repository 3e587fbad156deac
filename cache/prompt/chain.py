"""A prompt as a chain of blocks, and a plan of its breakpoints."""

from dataclasses import dataclass
from typing import Literal

Ttl = Literal["5m", "1h"]

TTL_S: dict[Ttl, float] = {"5m": 300.0, "1h": 3_600.0}
MAX_BREAKPOINTS = 4
LOOKBACK = 20
"""Positions before a breakpoint at which an earlier entry is still found."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a prompt that can end a cached prefix. `key` identifies this block and all that
    stands before it, so equal keys are equal prefixes; `tokens` are this block's own; `may_break`
    is False where the provider stores no prefix that ends here (thinking, empty text). `position`
    counts as the lookback does: neighbours may share one.
    """

    key: bytes
    tokens: int
    position: int
    may_break: bool = True


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """The prefix that ends with the block at `index` is stored for `ttl`."""

    index: int
    ttl: Ttl


@dataclass(frozen=True, slots=True)
class Plan:
    """Breakpoints in the order of their blocks, at most `MAX_BREAKPOINTS`, an hour's before five
    minutes'; `reason` says in words why these, or why none. `expected_read_tokens` and
    `expected_write_tokens` are what the usage should show where nothing unforeseen happens.
    """

    breakpoints: tuple[Breakpoint, ...] = ()
    reason: str = ""
    expected_read_tokens: int = 0
    expected_write_tokens: int = 0
