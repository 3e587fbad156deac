"""Recorded prompts as chains of shared blocks, read from JSON Lines.

A line is `{"t": seconds, "prompt_tokens": n, "completion_tokens": n, "prefix_blocks": [ids]}`,
plain or gzip. Blocks have 512 tokens, the last one what is left; ids that two prompts share from
the start are shared content. Prompt tokens beyond the blocks are taken as content of its own.
"""

import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cache.prompt.chain import Block
from serving.errors import ConfigError
from serving.wire.jsonl_file import NotAnObject, numbered, parse_object

BLOCK_TOKENS = 512
MAX_TOKENS = 100_000_000


class Trace:
    """All requests of a trace by time. A block takes 4 bytes per use and about 200 once; there is
    one `Block` per distinct prefix, so keys are as good as the content that they stand for.
    """

    def __init__(self) -> None:
        self.times = array("d")
        self.prompt_tokens = array("q")
        self.completion_tokens = array("q")
        self._starts = array("q", [0])
        self._uses = array("I")
        self._blocks: list[Block] = []
        self._known: dict[tuple[int, str | int, int], int] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[int]:
        """The requests' numbers by time, equal times as they stand in the file."""
        if len(self._order) != len(self.times):
            self._order = sorted(range(len(self.times)), key=self.times.__getitem__)
        return iter(self._order)

    def __reversed__(self) -> Iterator[int]:
        return reversed(list(iter(self)))

    def chain(self, number: int) -> list[Block]:
        blocks = self._blocks
        uses = self._uses[self._starts[number] : self._starts[number + 1]]
        return [blocks[use] for use in uses]

    def add(self, t: float, prompt: int, completion: int, ids: list[str | int]) -> None:
        """The ids must not need more than the prompt's tokens."""
        parent = -1
        for depth, block_id in enumerate(ids):
            tokens = min(BLOCK_TOKENS, prompt - depth * BLOCK_TOKENS)
            parent = self._use((parent, block_id, tokens), depth)
        beyond = prompt - len(ids) * BLOCK_TOKENS
        if beyond > 0:
            self._append(beyond, len(ids), may_break=False)
        self.times.append(t)
        self.prompt_tokens.append(prompt)
        self.completion_tokens.append(completion)
        self._starts.append(len(self._uses))

    def _use(self, content: tuple[int, str | int, int], depth: int) -> int:
        """A block is what it holds and all that stands before it."""
        known = self._known.get(content)
        if known is not None:
            self._uses.append(known)
            return known
        made = self._known[content] = len(self._blocks)
        self._append(content[2], depth)
        return made

    def _append(self, tokens: int, depth: int, *, may_break: bool = True) -> None:
        key = len(self._blocks).to_bytes(8, "big")
        self._uses.append(len(self._blocks))
        self._blocks.append(Block(key, tokens, depth, may_break))


def read(path: Path, *, stretch: float = 1.0) -> Trace:
    """The trace in the file, with times multiplied by `stretch`. `ConfigError` names the file,
    line and key of what is wrong.
    """
    trace = Trace()
    number = 0
    try:
        for number, raw in numbered(path):
            _add(trace, raw, stretch, f"{path}:{number}")
    except OSError as broken:
        raise ConfigError(f"{path}:{number + 1}: cannot be read: {broken}") from broken
    if not len(trace):
        raise ConfigError(f"{path}: holds no request")
    return trace


def _add(trace: Trace, raw: bytes, stretch: float, where: str) -> None:
    try:
        line = parse_object(raw)
    except NotAnObject as reason:
        raise ConfigError(f"{where}: {reason}") from None
    t = line.get("t")
    if isinstance(t, bool) or not isinstance(t, int | float) or not math.isfinite(t):
        raise ConfigError(f"{where}: t: {_shown(line, 't')} is no number of seconds")
    prompt = _tokens(line, "prompt_tokens", where)
    completion = _tokens(line, "completion_tokens", where)
    trace.add(t * stretch, prompt, completion, _ids(line, prompt, where))


def _tokens(line: dict[str, Any], key: str, where: str) -> int:
    value = line.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOKENS:
        raise ConfigError(f"{where}: {key}: {_shown(line, key)} is no number of tokens")
    return value


def _ids(line: dict[str, Any], prompt: int, where: str) -> list[str | int]:
    ids = line.get("prefix_blocks")
    if not isinstance(ids, list):
        raise ConfigError(f"{where}: prefix_blocks: {_shown(line, 'prefix_blocks')} is no list")
    for i, block_id in enumerate(ids):
        if isinstance(block_id, bool) or not isinstance(block_id, int | str):
            raise ConfigError(f"{where}: prefix_blocks[{i}]: neither a number nor a text")
    most = -(-prompt // BLOCK_TOKENS)
    if len(ids) > most:
        raise ConfigError(
            f"{where}: prefix_blocks: {len(ids)} blocks of {BLOCK_TOKENS} tokens,"
            f" but prompt_tokens {prompt} make {most}"
        )
    return ids


def _shown(line: dict[str, Any], key: str) -> str:
    return repr(line[key])[:40] if key in line else "what is missing"
