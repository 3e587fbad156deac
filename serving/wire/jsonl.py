"""JSON Lines as they arrive."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

MAX_LINE_BYTES = 64_000_000
"""Of a longer line no more is kept than this: no answer is as long."""


async def objects(chunks: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Each line's object; None for a line that is none, or too long. Empty lines are passed over.
    Lines end with a line feed alone: JSON text may hold other characters that end lines elsewhere.
    """
    begun, size = [b""], 0
    async for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        size += len(first)
        if size <= MAX_LINE_BYTES:
            begun.append(first)
        for piece in rest:
            line = b"".join(begun) if size <= MAX_LINE_BYTES else b"too long"
            if line.strip():
                yield _object(line)
            begun, size = [piece], len(piece)
    last = b"".join(begun) if size <= MAX_LINE_BYTES else b"too long"
    if last.strip():
        yield _object(last)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
