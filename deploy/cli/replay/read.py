"""Reads requests from a JSON Lines file, plain or gzip, one line at a time.

A line is `{"text": "…"}` (one user message) or a chat body with `messages`. Of a chat body,
OpenAI's parameters, `stepwell` and what stands under `extra_body` are sent; any other key, such as
a data set's `label`, is ignored. A bad line does not end the reading: it comes out as `BadLine`.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from serving.wire.jsonl_file import NotAnObject, numbered, parse_object

_BATCH_LINES = 32
_PARAMS = frozenset(CompletionCreateParamsBase.__annotations__) | {"stream", "stepwell"}


@dataclass(frozen=True, slots=True)
class Line:
    """A request: `body` has `messages` and further parameters. `number` counts from 1."""

    number: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no request. `reason` does not quote the line."""

    number: int
    reason: str


class _NotARequest(Exception):
    """Why a JSON object is no request."""


def parse(number: int, raw: bytes) -> Line | BadLine:
    """The request in one line of the file."""
    try:
        return Line(number, _body(parse_object(raw)))
    except (NotAnObject, _NotARequest) as reason:
        return BadLine(number, str(reason))


def read(path: Path, limit: int | None = None) -> Iterator[Line | BadLine]:
    """The file's requests in order, blank lines skipped, `limit` lines at most. Holds one line in
    memory. Where the file cannot be read on (a broken gzip file), a last `BadLine` says so.
    """
    return itertools.islice(_parsed(path), limit)


def count(path: Path, limit: int | None = None) -> int:
    """How many lines `read` will yield; reads the file once, parses nothing. Raises OSError."""
    return sum(1 for _ in itertools.islice(numbered(path), limit))


async def in_background(lines: Iterable[Line | BadLine]) -> AsyncGenerator[Line | BadLine, None]:
    """The same lines, read in a thread a few at a time, so that the event loop never waits."""
    iterator = iter(lines)
    while batch := await asyncio.to_thread(lambda: list(itertools.islice(iterator, _BATCH_LINES))):
        for line in batch:
            yield line


async def at_once(lines: Iterable[Line | BadLine]) -> AsyncIterator[Line | BadLine]:
    """The same lines, of a source that is in memory already."""
    for line in lines:
        yield line


def _parsed(path: Path) -> Iterator[Line | BadLine]:
    number = 0
    try:
        for number, raw in numbered(path):
            yield parse(number, raw)
    except OSError as broken:
        yield BadLine(number + 1, f"cannot be read: {broken}")


def _body(value: dict[str, Any]) -> dict[str, Any]:
    if "messages" in value:
        return _chat_body(value)
    text = value.get("text")
    if not isinstance(text, str) or not text:
        raise _NotARequest("neither `messages` nor a `text` with content")
    return {"messages": [{"role": "user", "content": text}]}


def _chat_body(value: dict[str, Any]) -> dict[str, Any]:
    messages = value["messages"]
    if not isinstance(messages, list) or not messages:
        raise _NotARequest("`messages` is not a list with content")
    if not all(isinstance(message, dict) for message in messages):
        raise _NotARequest("`messages` holds something that is not an object")
    extra = value.get("extra_body") or {}
    if not isinstance(extra, dict) or "messages" in extra:
        raise _NotARequest("`extra_body` is not an object of further parameters")
    for key in ("stepwell", "metadata", "stream_options"):
        if not isinstance(value.get(key, extra.get(key)), dict | None):
            raise _NotARequest(f"`{key}` is not an object")
    return {k: v for k, v in value.items() if k in _PARAMS} | extra
