"""Responses that are answered in the background: each is the one line of a hidden batch, which ends
at its deadline. So the worker answers it as it does other lines, live, at local tiers or in a
provider's batch, and survives what they survive.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.backend import new_id
from serving.batch.check import line_row
from serving.batch.rows import batch_of, written
from serving.batch.values import OPEN, RESPONSES, Batch, Clock, Status, utc_now
from serving.errors import RateLimited
from serving.storage.database import Database
from serving.storage.responses import OPEN as UNANSWERED
from serving.storage.responses import StoredResponse, enter, held, responses, stop, told
from serving.storage.work import batch_lines, batches, parked_lines
from serving.wire.responses.render import failure, outcome_of

RETRY_AFTER_S = 10.0
ENDED_AT_ONCE = 50
EXPIRED = "The response could not be answered before its deadline."


class Background:
    """Takes responses that are to be answered later. `wake` is called where the worker may have
    something to do.
    """

    def __init__(
        self,
        database: Database,
        *,
        most_open: int,
        wake: Callable[[], None] = lambda: None,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._most_open = most_open
        self._wake = wake
        self._clock = clock

    async def submit(self, response: StoredResponse, line: bytes, deadline: datetime) -> None:
        """Commits a queued response with the line that answers it. `RateLimited` where its tenant
        has as many as it may.
        """
        batch = Batch(
            id=f"batch_{new_id()}",
            tenant=response.tenant,
            key_id=response.key_id,
            endpoint=RESPONSES,
            input_file_id="",
            completion_window="",
            labels=None,
            status="in_progress",
            created_at=response.created_at,
            expires_at=deadline,
            in_progress_at=response.created_at,
            total=1,
            hidden=True,
        )
        kept = response.expires_at - response.created_at  # counted from when it is answered
        values = {**asdict(response), "batch_id": batch.id, "request": line}
        values["expires_at"] = deadline + kept

        async def work(connection: AsyncConnection) -> None:
            await self._check_room(connection, response.tenant)
            await enter(connection, StoredResponse(**values))
            await connection.execute(insert(batches).values(asdict(batch)))
            row = line_row(batch.id, 1, response.id, 0, len(line))
            await connection.execute(insert(batch_lines).values(row))

        await self._database.write(work)
        self._wake()

    async def cancel(self, tenant: str, id_: str) -> StoredResponse | None:
        """The response, cancelled unless it had ended before; None where it does not run in the
        background.
        """

        async def work(connection: AsyncConnection) -> StoredResponse | None:
            now = self._clock()
            found = await held(connection, tenant, id_, now)
            if found.batch_id is None:
                return None
            if found.status not in UNANSWERED:
                return found
            cancelled = told(found, "cancelled")
            await _end(connection, cancelled)
            await stop(connection, found, now)
            return cancelled

        found = await written(self._database, work)
        self._wake()
        return found

    async def _check_room(self, connection: AsyncConnection, tenant: str) -> None:
        c = batches.c
        busy = select(func.count()).where(c.tenant == tenant, c.status.in_(OPEN), c.hidden)
        if (await connection.execute(busy)).scalar_one() >= self._most_open:
            raise RateLimited(
                f"You have {self._most_open} responses in the background, as many as you may.",
                code="too_many_background_responses",
                retry_after=RETRY_AFTER_S,
            )


async def hidden_line(database: Database, batch: Batch) -> bytes | None:
    """The line of a hidden batch; None where its response is gone."""
    query = select(responses.c.request).where(responses.c.batch_id == batch.id)
    async with database.read() as connection:
        found: bytes | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def end_hidden_batches(database: Database, now: datetime) -> None:
    """Ends hidden batches whose line has ended or has been given back, some at a time, each
    together with its response.
    """
    c, lines = batches.c, batch_lines.c
    held = exists().where(lines.batch_id == c.id, lines.owner.is_not(None))
    over = and_(c.hidden, c.status.in_(("finalizing", "cancelling")), ~held)
    query = select(batches).where(over).order_by(c.created_at).limit(ENDED_AT_ONCE)
    async with database.read() as connection:
        if (await connection.execute(query.limit(1))).one_or_none() is None:
            return

    async def work(connection: AsyncConnection) -> None:
        rows = (await connection.execute(query.with_for_update(skip_locked=True))).all()
        for row in rows:
            status = await _end_one(connection, batch_of(row))
            values = {"status": status, f"{status}_at": now}
            await connection.execute(update(batches).where(c.id == row.id).values(values))

    await database.write(work)


async def _end_one(connection: AsyncConnection, batch: Batch) -> Status:
    """Gives the response what its line came to, and says how the batch ends. A response that was
    cancelled stays so.
    """
    c = batch_lines.c
    query = select(c.state, c.result).where(c.batch_id == batch.id)
    line = (await connection.execute(query)).one_or_none()
    answered = line is not None and line.state in ("done", "failed")
    asked = select(responses).where(responses.c.batch_id == batch.id).with_for_update()
    row = (await connection.execute(asked)).one_or_none()
    if row is not None and row.status in UNANSWERED:
        names = StoredResponse.__dataclass_fields__
        found = StoredResponse(**{name: row._mapping[name] for name in names})
        known = _outcome(line.result) if answered and line is not None else None
        known = known or {"status": "failed", "error": failure(504, EXPIRED, "expired")}
        await _end(connection, told(found, **known))
    p = parked_lines.c
    parked = select(p.number).where(p.batch_id == batch.id).limit(1)
    if (await connection.execute(parked)).one_or_none() is None:  # else it is booked first
        await connection.execute(delete(batch_lines).where(c.batch_id == batch.id))
    if batch.status == "cancelling":
        return "cancelled"
    return "completed" if answered else "expired"


def _outcome(result: bytes) -> dict[str, Any] | None:
    """What a line of the output or the error file says of the response; None where it has none."""
    reply = json.loads(result)["response"]
    if reply is None:
        return None
    body = reply["body"]
    if reply["status_code"] < 400:
        return outcome_of(body)
    error = body["error"]
    found = failure(reply["status_code"], error["message"], error["code"])
    return {"status": "failed", "error": found}


async def _end(connection: AsyncConnection, response: StoredResponse) -> None:
    c = responses.c
    values = {"status": response.status, "body": response.body, "size": response.size}
    ended = update(responses).where(c.id == response.id).values(**values, request=None)
    await connection.execute(ended)
