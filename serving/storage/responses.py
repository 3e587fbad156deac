"""Responses as they are kept, each for its tenant alone."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    LargeBinary,
    String,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.errors import InvalidRequest, NotFound
from serving.storage.database import Database
from serving.storage.schema import metadata
from serving.storage.types import Moment
from serving.storage.work import batch_lines, batches

__all__ = ["ResponseStore", "StoredResponse", "metadata", "responses"]

ID = re.compile(r"resp_[0-9a-f]{32}")
MOST_TURNS = 1_000
SWEPT_AT_ONCE = 200
OPEN = ("queued", "in_progress")

responses = Table(
    "responses",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("key_id", String(128)),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("status", String(16), nullable=False),
    Column("previous_id", String(64)),  # the response that it goes on with
    Column("batch_id", String(64)),  # what answers it in the background
    Column("size", BigInteger, nullable=False),  # of `input` and `body`
    Column("input", LargeBinary, nullable=False),  # of its own input, as JSON
    Column("body", LargeBinary, nullable=False),  # the response, as JSON
    Column("request", LargeBinary),  # what is to be answered in the background, until it is
    Index("ix_responses_tenant_created_at", "tenant", "created_at"),
)


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A row of the table."""

    id: str
    tenant: str
    key_id: str | None
    created_at: datetime
    expires_at: datetime
    status: str
    previous_id: str | None
    input: bytes
    body: bytes
    batch_id: str | None = None
    request: bytes | None = None

    @property
    def size(self) -> int:
        return len(self.input) + len(self.body)

    @property
    def row(self) -> dict[str, Any]:
        return {**asdict(self), "size": self.size}


class ResponseStore:
    """Raises what the database raises; `NotFound` for what is not there, expired or another
    tenant's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, response: StoredResponse) -> None:
        """What it goes on with lives as long as itself from then on."""

        async def work(connection: AsyncConnection) -> None:
            await enter(connection, response)

        await self._database.write(work)

    async def get(self, tenant: str, id_: str, now: datetime) -> StoredResponse:
        """One that waits in the background is `in_progress` once a worker has taken it."""
        async with self._database.read() as connection:
            found = await one(connection, tenant, id_, now)
            if found.status != "queued":
                return found
            c = batch_lines.c
            begun = select(c.number).where(c.batch_id == found.batch_id, c.claims > 0)
            if (await connection.execute(begun.limit(1))).one_or_none() is None:
                return found
        return told(found, "in_progress")

    async def history(
        self, tenant: str, id_: str, now: datetime, *, most_bytes: int
    ) -> list[dict[str, Any]]:
        """The items of this response and of all that it goes on with, oldest first. `NotFound`
        where one of them is gone, `InvalidRequest` where one has no answer or all are too large.
        """
        async with self._database.read() as connection:
            links = await _chain(connection, tenant, id_, now)
            _check_chain(links, id_, most_bytes)
            ids = [link.id for link in links]
            c = responses.c
            query = select(c.id, c.input, c.body).where(c.id.in_(ids))
            rows = {row.id: row for row in await connection.execute(query)}
        items: list[dict[str, Any]] = []
        for link in reversed(ids):
            items += json.loads(rows[link].input)
            items += json.loads(rows[link].body)["output"]
        return items

    async def delete(self, tenant: str, id_: str, now: datetime) -> None:
        """What still runs in the background is cancelled."""

        async def work(connection: AsyncConnection) -> None:
            found = await held(connection, tenant, id_, now)
            await connection.execute(delete(responses).where(responses.c.id == id_))
            await stop(connection, found, now)

        await self._database.write(work)

    async def sweep(self, now: datetime, *, max_tenant_bytes: int) -> None:
        """Drops what has expired, and of tenants that have too much the oldest, a few at a time."""
        while await self._drop(responses.c.expires_at <= now):
            pass
        c = responses.c
        query = select(c.tenant, func.sum(c.size).label("size")).group_by(c.tenant)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        for row in rows:
            over = int(row.size) - max_tenant_bytes
            while over > 0 and (gone := await self._drop(c.tenant == row.tenant, over=over)):
                over -= gone
        ended = batches.c.status.in_(("completed", "expired", "cancelled"))
        lines = exists().where(batch_lines.c.batch_id == batches.c.id)
        over_and_hidden = and_(batches.c.hidden, ended, ~lines)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(batches).where(over_and_hidden))

        await self._database.write(work)

    async def _drop(self, which: ColumnElement[bool], over: int | None = None) -> int:
        """The bytes of what is gone: the oldest, as many as make up `over` bytes; not what is still
        to be answered.
        """
        c, gone = responses.c, 0
        query = select(c.id, c.size).where(which, c.status.not_in(OPEN))
        query = query.order_by(c.created_at).limit(SWEPT_AT_ONCE)

        async def work(connection: AsyncConnection) -> None:
            nonlocal gone
            ids: list[str] = []
            for row in await connection.execute(query):
                if over is not None and gone >= over:
                    break
                ids.append(row.id)
                gone += row.size
            if ids:
                await connection.execute(delete(responses).where(c.id.in_(ids)))

        await self._database.write(work)
        return gone


async def enter(connection: AsyncConnection, response: StoredResponse) -> None:
    """Adds it in the caller's transaction."""
    await connection.execute(insert(responses).values(response.row))
    if response.previous_id is None:
        return
    links = await _chain(connection, response.tenant, response.previous_id, response.created_at)
    ids = [link.id for link in links]
    locks = select(responses.c.id).where(responses.c.id.in_(ids)).order_by(responses.c.id)
    await connection.execute(locks.with_for_update())  # in one order, whoever else does so
    longer = update(responses).where(
        responses.c.id.in_(ids), responses.c.expires_at < response.expires_at
    )
    await connection.execute(longer.values(expires_at=response.expires_at))


async def one(
    connection: AsyncConnection, tenant: str, id_: str, now: datetime, *, lock: bool = False
) -> StoredResponse:
    if not ID.fullmatch(id_):
        raise no_such_response(id_)
    query = select(responses).where(_visible(tenant, now), responses.c.id == id_)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise no_such_response(id_)
    names = StoredResponse.__dataclass_fields__
    return StoredResponse(**{name: row._mapping[name] for name in names})


async def held(connection: AsyncConnection, tenant: str, id_: str, now: datetime) -> StoredResponse:
    """As `one`; nobody else changes it, or the batch that answers it, before the transaction ends.
    The batch is held first, as a worker does that ends it.
    """
    found = await one(connection, tenant, id_, now)
    if found.batch_id is not None:
        batch = select(batches.c.id).where(batches.c.id == found.batch_id)
        await connection.execute(batch.with_for_update())
    return await one(connection, tenant, id_, now, lock=True)


async def stop(connection: AsyncConnection, response: StoredResponse, now: datetime) -> None:
    """Cancels what answers it in the background, where it has not ended."""
    c = batches.c
    open_ = and_(c.id == response.batch_id, c.status == "in_progress")
    values = {"status": "cancelling", "cancelling_at": now}
    await connection.execute(update(batches).where(open_).values(values))


def told(response: StoredResponse, status: str, **known: Any) -> StoredResponse:
    """As it is once it has this status; `known` are of its outcome."""
    body = {**json.loads(response.body), "status": status, **known}
    values = {**asdict(response), "status": status, "body": json.dumps(body).encode()}
    return StoredResponse(**values)


def no_such_response(id_: str) -> NotFound:
    return NotFound(f"Response with id '{id_[:64]}' not found.", code="response_not_found")


def _visible(tenant: str, now: datetime) -> ColumnElement[bool]:
    return and_(responses.c.tenant == tenant, responses.c.expires_at > now)


async def _chain(
    connection: AsyncConnection, tenant: str, id_: str, now: datetime
) -> Sequence[Any]:
    """This response and what it goes on with, one after the other, without what they say."""
    if not ID.fullmatch(id_):
        return []
    c = responses.c
    columns = (c.id, c.previous_id, c.status, c.size)
    first = select(*columns, literal(1).label("turn")).where(_visible(tenant, now), c.id == id_)
    chain = first.cte("chain", recursive=True)
    before = select(*columns, (chain.c.turn + 1).label("turn")).where(
        _visible(tenant, now), c.id == chain.c.previous_id, chain.c.turn < MOST_TURNS
    )
    chain = chain.union_all(before)
    query = select(chain).order_by(chain.c.turn)
    return (await connection.execute(query)).all()


def _check_chain(links: Sequence[Any], id_: str, most_bytes: int) -> None:
    param, message = "previous_response_id", ""
    if not links or (links[-1].previous_id is not None and len(links) < MOST_TURNS):
        gone = links[-1].previous_id if links else id_
        message = f"Previous response with id '{gone[:64]}' not found."
        raise NotFound(message, param=param, code="previous_response_not_found")
    unanswered = [link for link in links if link.status not in ("completed", "incomplete")]
    if unanswered:
        message = f"The response '{unanswered[0].id}' has no answer: it is {unanswered[0].status}."
        code = "previous_response_not_completed"
    elif len(links) >= MOST_TURNS or sum(link.size for link in links) > most_bytes:
        message = f"The responses before are more than {most_bytes} bytes or {MOST_TURNS} turns."
        code = "above_limit"
    if message:
        raise InvalidRequest(message, param=param, code=code)
