"""A prompt as a row of positions: tools, then system blocks, then message blocks. Each position has
the digest of everything up to it, so that equal digests are equal prefixes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cachetools import LRUCache
from pydantic import BaseModel

from serving.hosted.emulator.tokens import block_tokens
from serving.hosted.emulator.wire import (
    CacheControl,
    DocumentBlock,
    ImageBlock,
    Prompt,
    ToolResultBlock,
)
from serving.hosted.models import ModelAbility

RUNS = frozenset({"tool_use", "tool_result"})
UNCACHEABLE = frozenset({"thinking", "redacted_thinking"})
# Breakpoints are no part of the prefix, those inside a tool result neither.
UNSEEN: dict[str, Any] = {"cache_control": True}
UNSEEN_IN_RESULT: dict[str, Any] = UNSEEN | {"content": {"__all__": UNSEEN}}


@dataclass(frozen=True, slots=True)
class Position:
    """`digest` and `tokens` cover the prompt up to here; `slot` counts positions for the lookback,
    where a run of tool_use or of tool_result blocks is one; `ttl` is set at a breakpoint.
    """

    digest: str
    tokens: int
    slot: int
    ttl: str | None


class Counter(Protocol):
    def __call__(self, block: BaseModel, ratio: float, key: str) -> int: ...


class TokenCounts:
    """Counts the tokens of blocks, once for those that come again; `key` is a digest of the
    block's text.
    """

    def __init__(self, size: int = 10_000) -> None:
        self._counts: LRUCache[tuple[str, float], int] = LRUCache(size)

    def __call__(self, block: BaseModel, ratio: float, key: str) -> int:
        found = self._counts.get((key, ratio))
        if found is None:
            found = self._counts[key, ratio] = block_tokens(block, ratio)
        return found


def _counted(block: BaseModel, ratio: float, key: str) -> int:  # noqa: ARG001 - a Counter
    return block_tokens(block, ratio)


def positions(
    prompt: Prompt,
    ability: ModelAbility,
    dropped: frozenset[tuple[int, int]] = frozenset(),
    count: Counter = _counted,
) -> list[Position]:
    """The prompt's positions. `dropped` are (message, block) places of thinking blocks that the
    model does not see. Automatic caching puts a breakpoint on the last block that can carry one.
    """
    # A change of any tool invalidates everything, the tools that stand before it included.
    tools = [_own(tool) for tool in prompt.tools]
    digest, section, previous = _hash(prompt.model, *tools), "", ""
    rows: list[Position] = []
    tokens = slot = 0
    cacheable = -1
    for where, block in _blocks(prompt, dropped):
        entered = where.split(".")[0]
        if entered != section:
            digest = _entered(digest, section, entered, prompt)
            section = entered
        kind = str(getattr(block, "type", None) or "tool")
        slot += not (kind in RUNS and kind == previous)
        previous = kind
        own = tools[len(rows)] if section == "tools" else _own(block)
        digest = _hash(digest, where, own)
        tokens += count(block, ability.tokenizer, own)
        control: CacheControl | None = getattr(block, "cache_control", None)
        rows.append(Position(digest, tokens, slot, control.ttl if control else None))
        if kind not in UNCACHEABLE:
            cacheable = len(rows) - 1
    if prompt.cache_control is not None and cacheable >= 0 and rows[cacheable].ttl is None:
        rows[cacheable] = replace(rows[cacheable], ttl=prompt.cache_control.ttl)
    return rows


def settings_text(prompt: Prompt) -> str:
    """What invalidates the messages, but not tools and system, when it changes."""
    images = any(isinstance(b, ImageBlock) for b in _all_content(prompt))
    parts = [prompt.tool_choice, prompt.thinking, prompt.output_config]
    return f"{images}" + "".join(p.model_dump_json() if p is not None else "-" for p in parts)


def _entered(digest: str, left: str, entered: str, prompt: Prompt) -> str:
    """The digest on entering a section, with what invalidates it from here on."""
    if left in {"", "tools"} and entered != "tools":
        digest = _hash(digest, "citations" if _cites(prompt) else "")
    return _hash(digest, entered, settings_text(prompt) if entered == "messages" else "")


def _cites(prompt: Prompt) -> bool:
    return any(
        isinstance(b, DocumentBlock) and bool((b.citations or {}).get("enabled"))
        for b in _all_content(prompt)
    )


def _all_content(prompt: Prompt) -> Iterator[BaseModel]:
    for message in prompt.messages:
        for block in message.content:
            yield block
            if isinstance(block, ToolResultBlock):
                yield from block.content


def _blocks(prompt: Prompt, dropped: frozenset[tuple[int, int]]) -> Iterator[tuple[str, BaseModel]]:
    for tool in prompt.tools:
        yield "tools", tool
    for block in prompt.system:
        yield "system", block
    for i, message in enumerate(prompt.messages):
        for j, content in enumerate(message.content):
            if (i, j) not in dropped:
                yield f"messages.{message.role}", content


def _own(block: BaseModel) -> str:
    """The digest of a block by itself."""
    unseen = UNSEEN_IN_RESULT if isinstance(block, ToolResultBlock) else UNSEEN
    return _hash(block.model_dump_json(exclude=unseen))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
