"""What becomes of rows from before the parts of a saving were noted."""

from decimal import Decimal

from sqlalchemy import select, text

from serving.storage.database import Database
from serving.storage.migrate import VERSION_TABLE
from serving.storage.schema import attempts
from tests.serving.storage.rows import attempt

NEW = ("list_cost", "live_cost", "above_cost")


async def test_what_no_providers_cache_had_a_part_in_cost_as_much_live(
    database: Database, database_url: str
) -> None:
    rows = [
        attempt("plain", cost=Decimal("0.25")),
        attempt("unpriced", cost=None),
        attempt("read", cost=Decimal("0.25"), cached_tokens=40),
        attempt("wrote", cost=Decimal("0.25"), cache_write_tokens=40),
        attempt("hit", kind="cache_hit", cost=Decimal(0), cached_tokens=40),
    ]
    async with database.begin() as connection:
        for name in NEW:
            await connection.execute(text(f"ALTER TABLE attempts DROP COLUMN {name}"))
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0010'"))
        old = [{k: v for k, v in row.items() if k not in NEW} for row in rows]
        await connection.execute(attempts.insert(), old)
    again = await Database.open(database_url)
    async with again.read() as connection:
        query = select(*(attempts.c[name] for name in ("id", *NEW)))
        found = {row[0]: tuple(row[1:]) for row in (await connection.execute(query)).all()}
    await again.close()
    assert found == {
        "plain": (Decimal("0.25"), Decimal("0.25"), None),
        "unpriced": (None, None, None),
        "read": (None, None, None),
        "wrote": (None, None, None),
        "hit": (0, 0, None),
    }
