"""What has been spent since a time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from serving.costs.spent import spent_since, spent_today
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.storage.upsert import upsert
from tests.serving.storage.rows import attempt


async def test_spend_by_kind_and_time(database: Database) -> None:
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = [
        attempt("a", created_at=now, cost=Decimal("0.25")),
        attempt("b", created_at=midnight, cost=Decimal("0.5"), kind="spot_check"),
        attempt("c", created_at=now, cost=None, kind="spot_check"),
        attempt("d", created_at=now, cost=Decimal(4), kind="spot_check", outcome="intent"),
        attempt("e", created_at=midnight - timedelta(microseconds=1), cost=Decimal(8)),
    ]
    assert await spent_today(database) == 0
    async with database.begin() as connection:
        await upsert(connection, attempts, rows)
    assert await spent_today(database) == Decimal("4.75")
    assert await spent_today(database, kind="spot_check") == Decimal("4.5")
    assert await spent_since(database, midnight - timedelta(days=1)) == Decimal("12.75")
