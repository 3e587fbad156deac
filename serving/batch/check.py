"""The check of a batch's input file, before any line of it is answered."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from serving.batch.jsonl import RawLine, raw_lines
from serving.batch.values import Batch, LineDesk
from serving.errors import ClientError, InvalidRequest

MAX_ERRORS = 100
MAX_CUSTOM_ID_CHARS = 512
TURN_S = 0.002
"""Checking is the event loop's own work; after so long, others have their turn."""


@dataclass(slots=True)
class Checked:
    """`lines`: number, custom_id, offset and length of each. Where there are `errors`, the batch
    has failed.
    """

    lines: list[tuple[int, str, int, int]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)

    def rows(self, batch_id: str, part: slice) -> list[dict[str, Any]]:
        return [line_row(batch_id, *line) for line in self.lines[part]]


async def check_file(
    path: Path, batch: Batch, desk: LineDesk, *, max_lines: int, max_line_bytes: int
) -> Checked:
    """Reads the file once. It stops at the limits of lines and of errors. `OSError` where the file
    cannot be read.
    """
    found = Checked()
    seen: set[bytes] = set()
    rested = time.monotonic()
    async for line in raw_lines(path, max_line_bytes):
        if len(found.lines) >= max_lines:
            found.errors.append(_error(None, _too_many(max_lines)))
            break
        try:
            custom_id = _checked(line, batch, desk, seen, max_line_bytes)
            found.lines.append((line.number, custom_id, line.offset, line.length))
        except ClientError as error:
            found.errors.append(_error(line.number, error))
            if len(found.errors) >= MAX_ERRORS:
                break
        if time.monotonic() - rested > TURN_S:
            await asyncio.sleep(0)
            rested = time.monotonic()
    if not found.lines and not found.errors:
        found.errors.append(_error(None, _empty()))
    return found


def _checked(line: RawLine, batch: Batch, desk: LineDesk, seen: set[bytes], most: int) -> str:
    if line.data is None:
        message = f"The line is longer than {most} bytes."
        raise InvalidRequest(message, code="line_too_large")
    custom_id = desk.check(line.data, batch.endpoint, batch.asked_by)
    # A digest each: 50,000 long ids would hold more memory than all else.
    mark = blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if mark in seen:
        raise InvalidRequest(
            f"The custom_id {custom_id[:64]!r} stands twice in the file.",
            param="custom_id",
            code="duplicate_custom_id",
        )
    seen.add(mark)
    return custom_id


def _too_many(most: int) -> InvalidRequest:
    return InvalidRequest(f"The file has more than {most} lines.", code="too_many_lines")


def _empty() -> InvalidRequest:
    return InvalidRequest("The file has no lines.", code="empty_file")


def _error(number: int | None, error: ClientError) -> dict[str, Any]:
    return {
        "code": error.code or error.type,
        "line": number,
        "message": error.message,
        "param": error.param,
    }


def unreadable() -> Sequence[dict[str, Any]]:
    """The errors of a batch whose file is not there any more."""
    return [_error(None, InvalidRequest("The input file cannot be read.", code="file_not_found"))]


def line_row(
    batch_id: str, number: int, custom_id: str, offset: int, length: int
) -> dict[str, Any]:
    """A line that waits."""
    return {
        "batch_id": batch_id,
        "number": number,
        "custom_id": custom_id,
        "offset": offset,
        "length": length,
        "state": "waiting",
        "claims": 0,
        "failures": 0,
        "prompt_tokens": 0,
        "cached_tokens": 0,
        "completion_tokens": 0,
        "reasoning_tokens": 0,
    }
