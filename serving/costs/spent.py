"""What has been spent, as the ledger's table knows it."""

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import func, select

from serving.backend import Kind
from serving.storage.database import Database
from serving.storage.schema import attempts


async def spent_since(database: Database, since: datetime, *, kind: Kind | None = None) -> Decimal:
    """USD of the attempts made since then, of one kind or all; unsettled hosted calls count with
    the most that they can cost. Attempts whose price is unknown cannot count.
    """
    query = select(func.sum(attempts.c.cost)).where(attempts.c.created_at >= since)
    if kind is not None:
        query = query.where(attempts.c.kind == kind)
    async with database.read() as connection:
        total: Decimal | None = (await connection.execute(query)).scalar_one()
    return total or Decimal(0)


async def spent_today(database: Database, *, kind: Kind | None = None) -> Decimal:
    """Since midnight UTC."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return await spent_since(database, midnight, kind=kind)
