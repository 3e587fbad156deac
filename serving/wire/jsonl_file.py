"""The lines of a JSON Lines file, plain or gzip, one at a time and in bounded memory."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast

import orjson

MAX_LINE_BYTES = 16_000_000
_GZIP_MAGIC = b"\x1f\x8b"


class NotAnObject(ValueError):
    """Why a line holds no JSON object, without quoting it."""


def numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """The file's lines as they are, blank ones left out, each with its number from 1; of one longer
    than `MAX_LINE_BYTES` its beginning. Raises OSError, also where a gzip file is broken.
    """
    with closing(_open(path)) as file:
        for number, raw in enumerate(_raw(file), start=1):
            if raw.strip():
                yield number, raw


def parse_object(raw: bytes) -> dict[str, Any]:
    """The object in a line; `NotAnObject` where there is none, or the line is too long."""
    if len(raw) > MAX_LINE_BYTES:
        raise NotAnObject(f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as broken:
        raise NotAnObject(f"not JSON: {broken.msg} at column {broken.colno}") from None
    if not isinstance(value, dict):
        raise NotAnObject("not a JSON object")
    return value


def _open(path: Path) -> IO[bytes]:
    """By content, not by name: downloads lose their suffix."""
    file = path.open("rb")
    magic = file.read(len(_GZIP_MAGIC))
    file.seek(0)
    if magic != _GZIP_MAGIC:
        return file
    file.close()
    return cast("IO[bytes]", gzip.open(path, "rb"))


def _raw(file: IO[bytes]) -> Iterator[bytes]:
    """Lines, each cut off one byte past the limit: enough to see that it is too long."""
    try:
        while raw := file.readline(MAX_LINE_BYTES + 1):
            rest = raw
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE_BYTES)
            yield raw
    except (EOFError, zlib.error) as broken:
        raise OSError(f"a broken gzip file: {broken}") from broken
