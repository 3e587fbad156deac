"""Bytes on their way to disk: written in large pieces, in threads, and kept whole or not at all."""

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

from serving.backend import new_id

PIECE_BYTES = 1_048_576


class FileWriter:
    """Writes beside `path` and moves there in `keep`. `discard` afterwards does nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f"{path.name}.{new_id()[:8]}.part")
        self._file: BinaryIO | None = None
        self._begun = bytearray()
        self.size = 0

    async def write(self, data: bytes) -> None:
        """`OSError` where the disk is full or gone."""
        self._begun += data
        self.size += len(data)
        if len(self._begun) >= PIECE_BYTES:
            await self._flush()

    async def keep(self) -> None:
        """Nothing is kept of nothing."""
        if not self.size:
            return
        await self._flush()
        await asyncio.to_thread(self._keep)

    async def discard(self) -> None:
        if self._file is not None:
            await asyncio.to_thread(self._discard)

    async def _flush(self) -> None:
        data, self._begun = bytes(self._begun), bytearray()
        await asyncio.to_thread(self._put, data)

    def _put(self, data: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.fdopen(os.open(self._beside, os.O_WRONLY | os.O_CREAT, 0o600), "wb")
        self._file.write(data)

    def _keep(self) -> None:
        file = self._file
        assert file is not None, "`keep` has written"
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._beside.replace(self._path)
        self._file = None

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        unlink(self._beside)


def unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
