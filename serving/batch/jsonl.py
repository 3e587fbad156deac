"""The lines of a file on disk, one after the other, in bounded memory."""

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 1_048_576
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class RawLine:
    """`number` counts from 1, blank lines too. `data` is None where the line is longer than
    allowed.
    """

    number: int
    offset: int
    length: int
    data: bytes | None


async def raw_lines(path: Path, most: int) -> AsyncGenerator[RawLine, None]:
    """Lines with something in them, without their line feed; of one longer than `most` bytes no
    more is kept than that. A byte order mark is skipped.
    """
    file = await asyncio.to_thread(path.open, "rb")
    try:
        number, offset, begun, size = 1, 0, bytearray(), 0
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            start = 0
            while (end := block.find(b"\n", start)) >= 0:
                size += end - start
                begun += block[start : min(end, start + max(0, most - len(begun)))]
                if (line := _line(number, offset, size, begun, most)) is not None:
                    yield line
                number, offset, begun, size = number + 1, offset + size + 1, bytearray(), 0
                start = end + 1
            size += len(block) - start
            begun += block[start : start + max(0, most - len(begun))]
        if (line := _line(number, offset, size, begun, most)) is not None:
            yield line
    finally:
        await asyncio.to_thread(file.close)


def read_line(path: Path, offset: int, length: int) -> bytes:
    """Blocks. `OSError` where the file is gone or shorter."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(fd, length, offset)
    finally:
        os.close(fd)
    if len(data) != length:
        raise OSError(f"{path.name}: {length} bytes at {offset} are not there")
    return data


def _line(number: int, offset: int, size: int, begun: bytearray, most: int) -> RawLine | None:
    if number == 1 and begun.startswith(BOM):
        begun, offset, size = begun[len(BOM) :], offset + len(BOM), size - len(BOM)
    if size > most:
        return RawLine(number, offset, size, None)
    data = bytes(begun)
    return RawLine(number, offset, size, data) if data.strip() else None
