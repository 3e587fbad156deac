"""What becomes of rows from before the parts of a saving were noted."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, event, func, select, text

from serving.storage.database import Database
from serving.storage.migrate import VERSION_TABLE
from serving.storage.schema import attempts
from tests.serving.storage.rows import attempt

NEW = ("list_cost", "live_cost", "above_cost")


async def go_back(database: Database, rows: list[dict[str, Any]]) -> None:
    """To the version before, with these rows."""
    async with database.begin() as connection:
        for name in NEW:
            await connection.execute(text(f"ALTER TABLE attempts DROP COLUMN {name}"))
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0010'"))
        old = [{k: v for k, v in row.items() if k not in NEW} for row in rows]
        await connection.execute(attempts.insert(), old)


async def test_what_no_providers_cache_had_a_part_in_cost_as_much_live(
    database: Database, database_url: str
) -> None:
    rows = [
        attempt("plain", cost=Decimal("0.25")),
        attempt("unpriced", cost=None),
        attempt("read", cost=Decimal("0.25"), cached_tokens=40),
        attempt("wrote", cost=Decimal("0.25"), cache_write_tokens=40),
        attempt("batched", cost=Decimal("0.25"), service="batch"),
        attempt("flex", cost=Decimal("0.25"), service="flex"),
        attempt("hit", kind="cache_hit", cost=Decimal(0), cached_tokens=40),
    ]
    await go_back(database, rows)
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
        "batched": (None, None, None),
        "flex": (Decimal("0.25"), Decimal("0.25"), None),
        "hit": (0, 0, None),
    }


async def test_no_statement_takes_longer_the_larger_the_ledger_is(
    database: Database, database_url: str
) -> None:
    count, largest = 12_000, 0
    await go_back(database, [attempt(f"a{n}", cost=Decimal("0.25")) for n in range(count)])

    def seen(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal largest
        if statement.lstrip().startswith("UPDATE attempts"):
            largest = max(largest, cursor.rowcount)

    event.listen(Engine, "after_cursor_execute", seen)
    try:
        again = await Database.open(database_url)
    finally:
        event.remove(Engine, "after_cursor_execute", seen)
    async with again.read() as connection:
        filled = select(func.count()).where(attempts.c.list_cost == attempts.c.cost)
        assert (await connection.execute(filled)).scalar_one() == count
    await again.close()
    assert largest == 5_000
