"""What is counted of lines that wait for providers' batches."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, get_args

from sqlalchemy import func, select

from serving.batch.hosted.values import HostedState
from serving.storage.database import Database
from serving.storage.work import batch_lines, batches, hosted_batches, parked_lines

LINE_STATES = ("waiting", "leased", "parked", "done", "failed")


class Noted(Protocol):
    def ambiguous(self, tier: str) -> None:
        """A submit may have arrived or not."""
        ...

    def promoted(self, lines: int) -> None:
        """Lines can't wait any longer."""
        ...

    def stand(
        self, lines: Mapping[str, int], hosted: Mapping[str, int], oldest_parked_s: float
    ) -> None:
        """How many there are in each state, of all states."""
        ...


class Unnoted:
    """Counts nothing."""

    def ambiguous(self, tier: str) -> None:
        pass

    def promoted(self, lines: int) -> None:
        pass

    def stand(
        self, lines: Mapping[str, int], hosted: Mapping[str, int], oldest_parked_s: float
    ) -> None:
        pass


async def note_stand(database: Database, noted: Noted, now: datetime) -> None:
    """Tells how the database stands: lines of batches in progress, hosted batches of the last
    month.
    """
    c, h, p = batch_lines.c, hosted_batches.c, parked_lines.c
    running = select(batches.c.id).where(batches.c.status == "in_progress")
    lines = select(c.state, func.count()).where(c.batch_id.in_(running)).group_by(c.state)
    hosted = select(h.state, func.count()).group_by(h.state)
    oldest = select(func.min(p.parked_at)).where(p.state.in_(("waiting", "sent")))
    async with database.read() as connection:
        by_line = await _counts(connection, lines)
        by_hosted = await _counts(connection, hosted)
        since = (await connection.execute(oldest)).scalar_one()
    noted.stand(
        {state: by_line.get(state, 0) for state in LINE_STATES},
        {state: by_hosted.get(state, 0) for state in get_args(HostedState)},
        0.0 if since is None else max(0.0, (now - since).total_seconds()),
    )


async def _counts(connection: Any, query: Any) -> dict[str, int]:
    return {str(state): int(count) for state, count in await connection.execute(query)}
