"""Columns that hold the same on both databases."""

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, insert, select
from sqlalchemy.exc import StatementError

from serving.storage.database import Database
from serving.storage.json import dumps
from serving.storage.schema import attempts, outcomes
from serving.storage.types import Moment, Money, storable, storable_json, to_pico
from tests.serving.storage.rows import attempt


async def test_money_and_moments_come_back_as_they_were(database: Database) -> None:
    costs = [Decimal("0.000000000001"), Decimal(9000000), Decimal(0), None, Decimal("-1.5")]
    berlin = timezone(timedelta(hours=1))
    when = datetime(2026, 11, 21, 23, 59, 59, 999_999, tzinfo=berlin)
    rows = [attempt(str(i), cost=cost, created_at=when) for i, cost in enumerate(costs)]
    async with database.begin() as connection:
        await connection.execute(insert(attempts), rows)
    query = select(attempts.c.cost, attempts.c.created_at).order_by(attempts.c.id)
    async with database.read() as connection:
        found = (await connection.execute(query)).all()
    assert [row.cost for row in found] == costs
    assert {row.created_at for row in found} == {when}


async def test_sums_of_money_are_exact(database: Database) -> None:
    """Ten million binary floats of a tenth would not add up."""
    costs = [Decimal("0.1"), Decimal("0.000000000001"), Decimal("1234.567890123456")] * 50
    async with database.begin() as connection:
        await connection.execute(
            insert(attempts), [attempt(str(i), cost=c) for i, c in enumerate(costs)]
        )
    async with database.read() as connection:
        total = (await connection.execute(select(func.sum(attempts.c.cost)))).scalar_one()
    assert total == sum(costs)


async def test_more_money_than_the_column_holds_is_an_error(database: Database) -> None:
    with pytest.raises(StatementError, match="beyond what a money column holds"):
        async with database.begin() as connection:
            await connection.execute(insert(attempts), [attempt("x", cost=Decimal("1e8"))])


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(TypeError):
        Moment().process_bind_param(datetime(2026, 1, 1), None)  # type: ignore[arg-type] # the dialect is not read


@given(st.decimals(min_value=0, max_value=9_000_000, places=20))
def test_rounding_to_picodollars_is_what_the_column_does(usd: Decimal) -> None:
    money = Money()
    stored = money.process_bind_param(usd, None)  # type: ignore[arg-type] # the dialect is not read
    assert money.process_result_value(stored, None) == to_pico(usd)  # type: ignore[arg-type] # nor here


@given(st.text(st.characters(codec=None), max_size=50))
def test_any_text_becomes_storable(text: str) -> None:
    stored = storable(text)
    assert stored is not None
    assert "\x00" not in stored
    stored.encode("utf-8")
    if "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert stored == text


NASTY = {
    "nul\x00": "a\x00b",
    "half": "\ud83d",
    "nan": math.nan,
    "inf": [math.inf, -math.inf, 1.5],
    "big": 2**70,
    "money": Decimal("0.10"),
    "none": None,
    "deep": {"x": [{"y": (1, True)}]},
}


async def test_any_json_is_stored_on_both_databases(database: Database) -> None:
    row = {
        "id": "o",
        "request_id": "r",
        "created_at": datetime(2026, 11, 21, tzinfo=UTC),
        "tenant": "t",
        "tiers": NASTY,
        "compared_by": "exact",
    }
    async with database.begin() as connection:
        await connection.execute(insert(outcomes), [row])
    async with database.read() as connection:
        found = (await connection.execute(select(outcomes.c.tiers))).scalar_one()
    assert found == {
        "nul\ufffd": "a\ufffdb",
        "half": "\ufffd",
        "nan": None,
        "inf": [None, None, 1.5],
        "big": 2**70,
        "money": "0.10",
        "none": None,
        "deep": {"x": [{"y": [1, True]}]},
    }


def test_json_keeps_the_order_of_keys() -> None:
    assert dumps({"b": 1, "a": 2}) == '{"b":1,"a":2}'
    assert storable_json({1: 2}) == {"1": 2}
