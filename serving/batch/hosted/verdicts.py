"""What comes of the lines of a hosted batch, written line by line and each once."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.batch.hosted.packed import pack
from serving.batch.hosted.parking import again, back
from serving.batch.hosted.rules import Next, after_result
from serving.batch.hosted.store import HostedStore, changed, keys_of
from serving.batch.hosted.values import Book, HostedBatch, LateResult
from serving.batch.rows import written
from serving.batch.values import Clock
from serving.batches import BatchResult
from serving.settings.batch import BatchSettings
from serving.storage.work import batches, hosted_lines, parked_lines

PAGE = 200
L, P = hosted_lines.c, parked_lines.c


class _Sent:
    """A line that was sent, and its row among the parked ones where that waits for a result."""

    def __init__(self, row: Any, parked: Any | None) -> None:
        self.custom_id: str = row.custom_id
        self.key: tuple[str, int] = (row.batch_id, row.number)
        self.key_id: str | None = row.key_id
        self.request_id: str = row.request_id
        self.turn: int = row.turn
        self.parked = parked

    def takes(self, result: BatchResult | None) -> bool:
        """Whether the line goes by this. One that was promoted, and waits for its turn to be
        answered live, takes an answer and nothing else.
        """
        if self.parked is None:
            return False
        return self.parked.state == "sent" or _succeeded(result)


class Verdicts:
    """`book` enters what late results cost, under a name that is the result's own, so that doing it
    twice changes nothing. `resumed` is called where lines can go on.
    """

    def __init__(
        self,
        store: HostedStore,
        settings: BatchSettings,
        clock: Clock,
        *,
        book: Book,
        resumed: Callable[[], None],
        ambiguous: Callable[[HostedBatch], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._book = book
        self._resumed = resumed
        self.ambiguous = ambiguous

    async def take(self, hosted: HostedBatch, results: Sequence[BatchResult]) -> None:
        """Writes results; those that were written before are left alone."""
        found = {result.custom_id: result for result in results}

        async def work(connection: AsyncConnection) -> list[LateResult]:
            rows = await self._sent(connection, hosted, L.custom_id.in_(found))
            takes = [r for r in rows if r.takes(found[r.custom_id])]
            await self._settle(connection, hosted, takes, found)
            return [
                LateResult(
                    hosted.tenant, r.key_id, hosted.tier, r.request_id, r.turn, found[r.custom_id]
                )
                for r in rows
                if not r.takes(found[r.custom_id])
            ]

        late = await written(self._store.database, work)
        for one in late:
            await self._book(one)
        if late:
            ids = [one.result.custom_id for one in late]
            await self._store.database.write(lambda c: _mark(c, hosted, ids, "late"))
        self._resumed()

    async def finish(self, hosted: HostedBatch, reason: str | None = None) -> None:
        """All results that there are have been taken; lines without one are sent again or answered
        live.
        """
        while await self._finish_some(hosted):
            pass
        now = self._clock()
        await self._store.change(hosted, state="done", ended_at=now, owner=None, reason=reason)
        self._resumed()

    async def free(self, hosted: HostedBatch, reason: str) -> None:
        """It never left: its lines wait to be gathered as if nothing had been."""

        async def work(connection: AsyncConnection) -> None:
            if not await self._store.holds(connection, hosted):
                return
            mine = and_(P.hosted_id == hosted.id, P.state == "sent")
            values = {"state": "waiting", "hosted_id": None, "tries": P.tries - 1}
            await connection.execute(update(parked_lines).where(mine).values(values))
            await changed(
                connection, hosted.id, {"state": "lost", "reason": reason[:500], "owner": None}
            )

        await self._store.database.write(work)

    async def give_up(self, hosted: HostedBatch, reason: str, *, for_good: bool = False) -> None:
        """It has no results and will have none. `for_good`: another one of these lines would fare
        the same, so they are answered live.
        """
        if for_good:
            await self._store.database.write(self._exhaust(hosted))
        while await self._finish_some(hosted):
            pass
        await self._store.change(hosted, state="lost", reason=reason[:500], owner=None)
        self._resumed()

    def _exhaust(self, hosted: HostedBatch) -> Callable[[AsyncConnection], Awaitable[None]]:
        async def work(connection: AsyncConnection) -> None:
            tries = self._settings.hosted_tries
            spent = case((P.tries < tries, tries), else_=P.tries)
            mine = update(parked_lines).where(P.hosted_id == hosted.id)
            await connection.execute(mine.values(tries=spent))

        return work

    async def _finish_some(self, hosted: HostedBatch) -> int:
        async def work(connection: AsyncConnection) -> int:
            rows = await self._sent(connection, hosted, None)
            await self._settle(connection, hosted, [r for r in rows if r.takes(None)], {})
            await _mark(connection, hosted, [r.custom_id for r in rows], "failed")
            return len(rows)

        return await written(self._store.database, work)

    async def _sent(
        self, connection: AsyncConnection, hosted: HostedBatch, which: ColumnElement[bool] | None
    ) -> list[_Sent]:
        """Lines without a result so far, locked, and with them the rows that wait for one: whoever
        promotes them meanwhile comes before or after, not between.
        """
        mine = and_(L.hosted_id == hosted.id, L.state == "sent")
        if which is not None:
            mine = and_(mine, which)
        query = select(L.custom_id, L.batch_id, L.number, L.key_id, L.request_id, L.turn)
        query = query.where(mine).order_by(L.custom_id).limit(PAGE).with_for_update()
        rows = (await connection.execute(query)).all()
        keys = keys_of(rows)
        running = batches.c.status == "in_progress"
        there = select(P.batch_id, P.number, P.state, P.tries, P.expires_at).where(
            tuple_(P.batch_id, P.number).in_(keys), P.hosted_id == hosted.id
        )
        there = there.join(batches, and_(batches.c.id == P.batch_id, running))
        there = there.order_by(P.batch_id, P.number).with_for_update(of=parked_lines)
        found = {(r.batch_id, r.number): r for r in await connection.execute(there)}
        return [_Sent(row, found.get((row.batch_id, row.number))) for row in rows]

    async def _settle(
        self,
        connection: AsyncConnection,
        hosted: HostedBatch,
        rows: Sequence[_Sent],
        found: dict[str, BatchResult],
    ) -> None:
        now = self._clock()
        resend: list[tuple[str, int]] = []
        came: list[tuple[tuple[str, int], bytes | None]] = []
        for row in rows:
            result = found.get(row.custom_id)
            follows = self._follows(row, result, now)
            if follows == "resume":
                assert result is not None, "only a result can be gone on with"
                came.append((row.key, pack(result)))
            elif follows == "live":
                came.append((row.key, None))
            else:
                resend.append(row.key)
        if resend:
            await again(connection, resend)
        if came:
            await back(connection, came)
        done = [r.custom_id for r in rows if _succeeded(found.get(r.custom_id))]
        await _mark(connection, hosted, done, "done")
        failed = [r.custom_id for r in rows if r.custom_id not in done]
        await _mark(connection, hosted, failed, "failed")

    def _follows(self, row: _Sent, result: BatchResult | None, now: datetime) -> Next:
        parked = row.parked
        assert parked is not None, "nobody waits for the others"
        return after_result(
            None if result is None else result.state,
            None if result is None else result.error,
            tries=parked.tries,
            left_s=(parked.expires_at - now).total_seconds(),
            settings=self._settings,
        )


async def _mark(
    connection: AsyncConnection, hosted: HostedBatch, custom_ids: Sequence[str], state: str
) -> None:
    if custom_ids:
        mine = and_(L.hosted_id == hosted.id, L.custom_id.in_(custom_ids))
        await connection.execute(update(hosted_lines).where(mine).values(state=state))


def _succeeded(result: BatchResult | None) -> bool:
    return result is not None and result.state == "succeeded"
