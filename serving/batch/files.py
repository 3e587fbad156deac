"""Files of tenants: their bytes on disk under names that only Stepwell chose, the rest in the
database.

A file is there once its row is. Bytes without a row are what a crash left; `sweep` removes them.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.backend import new_id
from serving.batch.disk import FileWriter, unlink
from serving.batch.rows import file_of, page_after, written
from serving.batch.values import OPEN, Clock, Owner, StoredFile, utc_now
from serving.errors import InvalidRequest, NotFound, PayloadTooLarge
from serving.settings.batch import BatchSettings
from serving.storage.database import Database
from serving.storage.types import storable
from serving.storage.work import batches, files

FILE_ID = re.compile(r"file-[0-9a-f]{32}")
NAME_CHARS = 256
ORPHAN_S = 86_400.0  # after which bytes without a row are nobody's upload any more
SWEPT_AT_ONCE = 500


def new_file_id() -> str:
    return f"file-{new_id()}"


class FileStore:
    """Belongs to one event loop. Disk work happens in threads."""

    def __init__(
        self, database: Database, folder: Path, settings: BatchSettings, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._reserved: Counter[str] = Counter()

    @property
    def settings(self) -> BatchSettings:
        return self._settings

    def path(self, file_id: str) -> Path:
        """Where the bytes of a file stand. Ids from outside go through `get` first."""
        assert FILE_ID.fullmatch(file_id), "no path is made of what a client wrote"
        return self._folder / file_id[5:7] / file_id

    @asynccontextmanager
    async def writing(self, file_id: str) -> AsyncIterator[FileWriter]:
        """Bytes that become the file's on a clean exit, and are gone after an error."""
        writer = FileWriter(self.path(file_id))
        try:
            yield writer
            await writer.keep()
        finally:
            await writer.discard()

    @asynccontextmanager
    async def room(self, tenant: str, announced: int | None) -> AsyncIterator[None]:
        """Keeps room within the tenant's quota while a file of `announced` bytes arrives (None: of
        any size). `PayloadTooLarge` where there is none.
        """
        most = self._settings.max_file_bytes
        wanted = most if announced is None else min(announced, most)
        with self._reservation(tenant, wanted):
            kept = select(func.coalesce(func.sum(files.c.bytes), 0)).where(files.c.tenant == tenant)
            async with self._database.read() as connection:
                used = int((await connection.execute(kept)).scalar_one())
            quota = self._settings.max_tenant_bytes
            if used + self._reserved[tenant] > quota:
                raise PayloadTooLarge(
                    f"Your files hold {used:,} of {quota:,} bytes; delete some first.",
                    code="storage_quota_exceeded",
                )
            yield

    async def add(
        self,
        file_id: str,
        owner: Owner,
        *,
        filename: str,
        purpose: str,
        size: int,
        ttl_s: int | None = None,
    ) -> StoredFile:
        """Makes bytes that are written a file."""
        row = self.described(
            file_id, owner, filename=filename, purpose=purpose, size=size, ttl_s=ttl_s
        )

        async def work(connection: AsyncConnection) -> None:
            await self.enter(connection, row)

        await self._database.write(work)
        return row

    def described(
        self,
        file_id: str,
        owner: Owner,
        *,
        filename: str,
        purpose: str,
        size: int,
        ttl_s: int | None,
    ) -> StoredFile:
        now = self._clock()
        ends = now + timedelta(seconds=ttl_s or self._settings.file_ttl_s)
        name = storable(filename, NAME_CHARS) or "file"
        return StoredFile(file_id, owner.tenant, owner.key_id, name, purpose, size, now, ends)

    async def enter(self, connection: AsyncConnection, row: StoredFile) -> None:
        values = {name: getattr(row, name) for name in files.c.keys()}  # noqa: SIM118 - not a dict
        await connection.execute(insert(files).values(values))

    async def get(self, tenant: str, file_id: str) -> StoredFile:
        """`NotFound` for what is not there, another tenant's or expired."""
        query = select(files).where(files.c.id == file_id, self._visible(tenant))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise no_such_file(file_id)
        return file_of(row)

    async def page(
        self, tenant: str, *, after: str | None, limit: int, purpose: str | None, ascending: bool
    ) -> tuple[list[StoredFile], bool]:
        wanted = self._visible(tenant)
        if purpose is not None:
            wanted = and_(wanted, files.c.purpose == purpose)
        async with self._database.read() as connection:
            rows, more = await page_after(
                connection, files, wanted, after=after, limit=limit, ascending=ascending
            )
        return [file_of(row) for row in rows], more

    async def delete(self, tenant: str, file_id: str) -> None:
        """`InvalidRequest` while a batch still reads it."""

        async def work(connection: AsyncConnection) -> None:
            mine = select(files.c.id).where(files.c.id == file_id, self._visible(tenant))
            if (await connection.execute(mine.with_for_update())).one_or_none() is None:
                raise no_such_file(file_id)
            user = select(batches.c.id).where(_uses(file_id)).limit(1)
            if (found := (await connection.execute(user)).scalar_one_or_none()) is not None:
                message = f"The batch {found} still reads this file; cancel it first."
                raise InvalidRequest(message, code="file_in_use")
            await connection.execute(delete(files).where(files.c.id == file_id))

        await self._database.write(work)
        await asyncio.to_thread(unlink, self.path(file_id))

    async def sweep(self) -> None:
        """Removes files past their end that no batch reads, and bytes that have no row."""
        gone = await written(self._database, self._forget_expired)
        for file_id in gone:
            await asyncio.to_thread(unlink, self.path(file_id))
        old = await asyncio.to_thread(self._old_names)
        for start in range(0, len(old), SWEPT_AT_ONCE):
            names = old[start : start + SWEPT_AT_ONCE]
            known = select(files.c.id).where(files.c.id.in_([path.name for path in names]))
            async with self._database.read() as connection:
                kept = set((await connection.execute(known)).scalars())
            for path in names:
                if path.name not in kept:
                    await asyncio.to_thread(unlink, path)

    async def _forget_expired(self, connection: AsyncConnection) -> list[str]:
        used = select(batches.c.input_file_id).where(batches.c.status.in_(OPEN))
        over = select(files.c.id).where(
            files.c.expires_at <= self._clock(), files.c.id.not_in(used)
        )
        found = list((await connection.execute(over.limit(SWEPT_AT_ONCE))).scalars())
        if found:
            await connection.execute(delete(files).where(files.c.id.in_(found)))
        return found

    def _old_names(self) -> list[Path]:
        before = time.time() - ORPHAN_S
        found = self._folder.glob("??/file-*")
        return [path for path in found if path.stat().st_mtime < before]

    @contextmanager
    def _reservation(self, tenant: str, size: int) -> Iterator[None]:
        self._reserved[tenant] += size
        try:
            yield
        finally:
            self._reserved[tenant] -= size

    def _visible(self, tenant: str) -> ColumnElement[bool]:
        now = self._clock()
        alive = or_(files.c.expires_at.is_(None), files.c.expires_at > now)
        return and_(files.c.tenant == tenant, alive)


def no_such_file(file_id: str) -> NotFound:
    return NotFound(f"No such File object: {file_id[:64]}", param="id", code="file_not_found")


def _uses(file_id: str) -> ColumnElement[bool]:
    return and_(batches.c.input_file_id == file_id, batches.c.status.in_(OPEN))
