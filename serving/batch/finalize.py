"""The end of a batch: its output and error files, written from the database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.disk import FileWriter
from serving.batch.enqueue import end_hidden_batches
from serving.batch.files import FileStore, new_file_id
from serving.batch.hosted.parking import book_unused, forget
from serving.batch.hosted.values import Book
from serving.batch.leases import Leases
from serving.batch.rows import written
from serving.batch.tally import ZERO, Tally
from serving.batch.values import Batch, Clock
from serving.batch.webhooks.queue import owe_batch_end
from serving.batch.wire import line_without_answer
from serving.storage.database import Database
from serving.storage.work import batch_lines, batches
from serving.wire.completion import Usage

PAGE = 100
PURPOSE = "batch_output"
LEFT = {
    "cancelled": ("batch_cancelled", "The batch was cancelled before this request was answered."),
    "expired": ("batch_expired", "This request could not be answered before the batch expired."),
}


@dataclass(slots=True)
class Written:
    """`left` counts lines that never got an answer; `lines` all of them."""

    tally: Tally = field(default_factory=Tally)
    lines: int = 0
    left: int = 0


class Finalizer:
    """Ends batches that this worker holds."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        leases: Leases,
        clock: Clock,
        *,
        book: Book | None = None,
    ) -> None:
        """`book` hears of hosted results that came and were not used."""
        self._book = book
        self._database = database
        self._files = files
        self._leases = leases
        self._clock = clock

    async def finalize(self, batch: Batch) -> bool:
        """Writes both files from the start, whatever an earlier try left, then enters them and the
        batch's end in one transaction. False where the batch is not this worker's any more; the
        files are nobody's then.
        """
        cancelled = batch.status == "cancelling"
        if batch.in_progress_at is None:  # cancelled before its lines were accepted
            return await self._leases.advance(batch, status="cancelled", cancelled_at=self._clock())
        out_id, err_id = new_file_id(), new_file_id()
        async with self._files.writing(out_id) as out, self._files.writing(err_id) as err:
            done = await self._write(batch, out, err, "cancelled" if cancelled else "expired")
        status = "cancelled" if cancelled else "expired" if done.left else "completed"
        values: dict[str, Any] = {
            "status": status,
            f"{status}_at": self._clock(),
            "total": done.lines,
            "figures": done.tally.to_dict(),
            "owner": None,
        }
        files = [
            (name, file_id, writer.size)
            for name, file_id, writer in (("output", out_id, out), ("error", err_id, err))
            if writer.size
        ]
        return await self._enter(batch, values, files)

    async def settle(self) -> None:
        """Batches in progress whose lines have all ended, or whose time is over, are to be
        finalized. Hidden ones are, at once.
        """
        c, now = batches.c, self._clock()
        open_ = batch_lines.c.state.in_(("waiting", "leased", "parked"))
        left = exists().where(batch_lines.c.batch_id == c.id, open_)
        due = and_(c.status == "in_progress", or_(~left, c.expires_at <= now))
        async with self._database.read() as connection:
            found = (await connection.execute(select(c.id).where(due).limit(1))).one_or_none()

        async def work(connection: AsyncConnection) -> None:
            values = {"status": "finalizing", "finalizing_at": now}
            await connection.execute(update(batches).where(due).values(values))

        if found is not None:
            await self._database.write(work)
        await end_hidden_batches(self._database, now)

    async def sweep(self) -> None:
        """Drops the lines of batches that have ended, a few at a time."""
        c = batch_lines.c
        over = batches.c.status.in_(("completed", "failed", "expired", "cancelled"))
        query = select(batch_lines.c.batch_id).join(batches, batches.c.id == c.batch_id)
        while True:
            async with self._database.read() as connection:
                found = (await connection.execute(query.where(over).limit(1))).scalar_one_or_none()
            if found is None:
                return
            if self._book is not None:
                await book_unused(self._database, found, self._book)
            while await written(self._database, _dropping(found)):
                pass

    async def _enter(
        self, batch: Batch, values: dict[str, Any], files: list[tuple[str, str, int]]
    ) -> bool:
        rows = [
            self._files.described(
                file_id,
                batch.asked_by,
                filename=f"{batch.id}_{name}.jsonl",
                purpose=PURPOSE,
                size=size,
                ttl_s=batch.output_ttl_s,
            )
            for name, file_id, size in files
        ]
        ids = {f"{name}_file_id": file_id for name, file_id, _ in files}

        async def work(connection: AsyncConnection) -> bool:
            if not await self._leases.holds(connection, batch):
                return False
            for row in rows:
                await self._files.enter(connection, row)
            mine = update(batches).where(batches.c.id == batch.id)
            await connection.execute(mine.values(**values, **ids))
            await owe_batch_end(connection, batch, values, self._clock())
            return True

        return await written(self._database, work)

    async def _write(self, batch: Batch, out: FileWriter, err: FileWriter, ending: str) -> Written:
        done = Written()
        async for row in self._lines(batch.id):
            done.lines += 1
            succeeded = row.state == "done"
            ended = succeeded or row.state == "failed"
            done.tally.add(
                1,
                succeeded=succeeded,
                usage=_usage(row),
                cost_usd=row.cost if ended else ZERO,
                baseline_cost_usd=row.baseline_cost,
                tier=row.tier,
            )
            data = row.result
            if not ended:
                done.left += 1
                data = line_without_answer(batch.id, row.number, row.custom_id, *LEFT[ending])
            await (out if succeeded else err).write(data)
        return done

    async def _lines(self, batch_id: str) -> AsyncIterator[Any]:
        c, last = batch_lines.c, 0
        while True:
            query = select(batch_lines).where(c.batch_id == batch_id, c.number > last)
            async with self._database.read() as connection:
                rows = (await connection.execute(query.order_by(c.number).limit(PAGE))).all()
            for row in rows:
                yield row
            if len(rows) < PAGE:
                return
            last = rows[-1].number


def _usage(row: Any) -> Usage:
    return Usage(
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        completion_tokens=row.completion_tokens,
        reasoning_tokens=row.reasoning_tokens,
    )


def _dropping(batch_id: str) -> Any:
    async def work(connection: AsyncConnection) -> bool:
        """Whether there may be more."""
        c = batch_lines.c
        some = select(c.number).where(c.batch_id == batch_id).limit(5 * PAGE)
        numbers = list((await connection.execute(some)).scalars())
        await forget(connection, batch_id, numbers)
        gone = delete(batch_lines).where(c.batch_id == batch_id, c.number.in_(numbers))
        if numbers:
            await connection.execute(gone)
        return len(numbers) == 5 * PAGE

    return work
