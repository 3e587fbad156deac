"""Compares the usage that came back with what was planned, and says why less was read.

Pure. Of several causes the first in this order is named: nothing to compare, too short, what the
API itself says, our own records (not begun, expired, changed bytes), and only then eviction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cache.prompt.blocks import PromptChain
from cache.prompt.chain import Breakpoint
from cache.prompt.entries import Standing, reachable
from cache.prompt.sent import Divergence
from serving.wire.completion import Usage

Outcome = Literal[
    "hit",
    "first_write",
    "unplanned",
    "too_short",
    "client_plan",
    "not_begun",
    "expired",
    "changed",
    "api",
    "evicted",
    "unknown",
]

NEAR = 0.1

CLOSE = 0.8
"""Of the tokens that were expected; the expectation is an estimate."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What was known when the request left. `minimum`: tokens of the shortest prefix that the model
    stores. `stored_tokens`: how many the provider counted for the prefix at `standing.live`, None
    where it has not said. `behind`: an earlier call was still writing a prefix of this one.
    `divergence` from the feature's earlier request, or where `conversation` says so from the
    conversation's; it `reached` so many blocks with its breakpoints. `planned_read` and
    `planned_write` are the plan's own estimates.
    """

    chain: PromptChain
    points: tuple[Breakpoint, ...]
    reason: str
    minimum: int
    standing: Standing = field(default_factory=Standing)
    stored_tokens: int | None = None
    behind: bool = False
    divergence: Divergence | None = None
    conversation: bool = False
    reached: int = 0
    planned_read: int = 0
    planned_write: int = 0

    @property
    def client_plan(self) -> bool:
        return bool(self.chain.own)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome` is one of few words, `reason` a sentence without any of the prompt. `read` is the
    block that ends what was read. `hit_share` is that of the prompt's tokens.
    """

    outcome: Outcome
    reason: str
    read: int | None = None
    hit_share: float = 0.0

    @property
    def missed(self) -> bool:
        """Something that had been stored, or should have been, was not read."""
        return self.outcome not in {"hit", "first_write", "unplanned", "unknown"}


def verdict(expected: Expected, usage: Usage) -> Verdict:
    if usage.estimated or usage.prompt_tokens <= 0:
        return Verdict("unknown", "the tier reported no usage")
    share = min(1.0, usage.cached_tokens / usage.prompt_tokens)
    figures = f"read {usage.cached_tokens:,} and wrote {usage.cache_write_tokens:,}"
    figures += f" of {usage.prompt_tokens:,} prompt tokens"
    if expected.planned_read or expected.planned_write:
        figures += f" (planned {expected.planned_read:,} and {expected.planned_write:,})"
    read = read_block(expected, usage)
    if not expected.points:
        short = expected.chain.tokens < expected.minimum
        return Verdict("too_short" if short else "unplanned", f"{figures}: {expected.reason}")
    if _as_expected(expected, usage):
        return Verdict("hit", figures + _rest(expected), read, share)
    outcome, cause = _cause(expected, usage)
    return Verdict(outcome, f"{figures}: {cause}", read, share)


def read_block(expected: Expected, usage: Usage) -> int | None:
    """The block at which what was read ends; None where nothing was. Blocks are estimated, the
    whole is known, so it is the one that ends nearest in proportion: the one that we know to be
    stored, where that is near.
    """
    if not usage.cached_tokens or not expected.chain.tokens:
        return None
    scale, ends = usage.prompt_tokens / expected.chain.tokens, expected.chain.ends
    live = expected.standing.live
    if live is not None and abs(ends[live] * scale - usage.cached_tokens) < NEAR * ends[live]:
        return live
    candidates = reachable(expected.chain.blocks, expected.points)
    return min(candidates, key=lambda i: abs(ends[i] * scale - usage.cached_tokens), default=None)


def _as_expected(expected: Expected, usage: Usage) -> bool:
    live = expected.standing.live
    if live is None:
        return usage.cached_tokens > 0
    scale = usage.prompt_tokens / max(1, expected.chain.tokens)
    tokens = expected.stored_tokens or expected.chain.ends[live] * scale
    return usage.cached_tokens >= CLOSE * tokens


def _rest(expected: Expected) -> str:
    if expected.standing.live is not None and expected.standing.lapsed is not None:
        return "; a longer prefix had expired"
    return ""


def _cause(expected: Expected, usage: Usage) -> tuple[Outcome, str]:
    if not usage.cached_tokens and not usage.cache_write_tokens:
        return "too_short", "the API stored nothing, as it does with prompts that are too short"
    if expected.behind:
        return "not_begun", "another call was still writing the same prefix"
    if usage.cache_miss_reason is not None and usage.cache_miss_reason.endswith("_changed"):
        return "api", f"the API says {usage.cache_miss_reason}" + _position(expected)
    if expected.standing.live is not None:
        return "evicted", "a prefix that was stored and not yet expired was not found"
    if expected.standing.lapsed is not None:
        return "expired", f"the prefix up to {_path(expected)} had not been used for too long"
    return _cold(expected)


def _cold(expected: Expected) -> tuple[Outcome, str]:
    """Nothing of it was known to be stored."""
    parted = expected.divergence
    if parted is None or parted.index >= expected.reached:
        if expected.client_plan and parted is not None and _common(expected, parted):
            where = f"the client's own breakpoints stand behind {parted.path}, which changes"
            return "client_plan", where
        return "first_write", "the first call with this prefix"
    layer = expected.chain.pieces[parted.index].layer
    if expected.conversation or layer == "tools" or (layer == "system" and parted.alike):
        earlier = "conversation's" if expected.conversation else "feature's"
        return "changed", f"changed bytes{_position(expected)}, against the {earlier} earlier call"
    what = "prefix" if layer == "messages" else parted.path  # another user's prompt
    return "first_write", f"the first call with this {what}"


def _common(expected: Expected, parted: Divergence) -> bool:
    """Whether what both calls share was long enough to be stored."""
    return bool(parted.index) and expected.chain.ends[parted.index - 1] >= expected.minimum


def _position(expected: Expected) -> str:
    parted = expected.divergence
    return "" if parted is None else f" at {parted.path}, character {parted.offset:,}"


def _path(expected: Expected) -> str:
    lapsed = expected.standing.lapsed
    assert lapsed is not None
    return expected.chain.pieces[lapsed].path


def places(chain: PromptChain, points: Sequence[Breakpoint]) -> str:
    """The breakpoints in words, for the trace."""
    return ", ".join(f"{chain.pieces[p.index].path} ({p.ttl})" for p in points)
