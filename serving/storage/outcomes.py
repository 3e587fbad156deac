"""The outcomes log: what two tiers answered to the same request, and whether they agree."""

import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Select, select, tuple_

from serving.storage.database import Database
from serving.storage.schema import outcomes
from serving.storage.upsert import upsert

PAGE_ROWS = 500


class Comparison(Protocol):
    """One request answered by several tiers. `id` is the request's; `tiers` holds, cheapest first,
    what each tier answered, in the outcomes format: `correct` in [0, 1] and, where known,
    `confidence`, `answer`, `cost_usd`, `prompt_tokens`, `completion_tokens`, `latency_ms`.
    """

    @property
    def id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def task(self) -> str | None: ...
    @property
    def prompt(self) -> str | None: ...
    @property
    def tiers(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def agreed(self) -> bool | None: ...
    @property
    def compared_by(self) -> str: ...


class OutcomesLog:
    """Stores comparisons in the table `outcomes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, checked: Comparison) -> None:
        """Commits the comparison; raises what the database raises."""
        row = {
            "id": f"out_{uuid.uuid4().hex}",
            "request_id": checked.id,
            "created_at": datetime.now(UTC),
            "tenant": checked.tenant,
            "task": checked.task,
            "prompt": checked.prompt,
            "tiers": {name: dict(answer) for name, answer in checked.tiers.items()},
            "agreed": checked.agreed,
            "compared_by": checked.compared_by,
        }
        await self._database.write(lambda c: upsert(c, outcomes, [row]))


async def export_outcomes(
    database: Database,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tenant: str | None = None,
    task: str | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Comparisons made in [since, until), oldest first, each as one JSON line's object of the
    outcomes format: `id`, `task`, `prompt` (null unless the task stores text), `tiers`. Those
    that could not be compared are left out: the format has no place for a `correct` nobody knows.
    """
    table = outcomes.c
    query = select(outcomes).where(table.agreed.is_not(None))
    query = query.order_by(table.created_at, table.id).limit(PAGE_ROWS)
    if since is not None:
        query = query.where(table.created_at >= since)
    if until is not None:
        query = query.where(table.created_at < until)
    if tenant is not None:
        query = query.where(table.tenant == tenant)
    if task is not None:
        query = query.where(table.task == task)
    page: Select[Any] | None = query
    while page is not None:
        # Page by page, so that no transaction stays open while the reader writes its file.
        async with database.read() as connection:
            rows = (await connection.execute(page)).all()
        for row in rows:
            yield {"id": row.id, "task": row.task, "prompt": row.prompt, "tiers": row.tiers}
        page = None
        if len(rows) == PAGE_ROWS:
            last = (rows[-1].created_at, rows[-1].id)
            page = query.where(tuple_(table.created_at, table.id) > last)
