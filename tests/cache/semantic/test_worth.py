"""The order in which entries give way."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.semantic.checked import made
from cache.semantic.entry import Entry
from cache.semantic.worth import Order, worth
from tests.cache.semantic.entries import new

HALF_LIFE_S = 100.0


def entry(**given: object) -> Entry:
    return replace(made(new(1), 1, 1_000.0), **given)  # type: ignore[arg-type]  # a test's fields


def value(of: Entry, size: int = 1_000) -> float:
    return worth(of, size, HALF_LIFE_S)


def test_each_doubling_counts_one_half_life() -> None:
    plain = value(entry())
    assert value(entry(cost_usd=Decimal("0.002"))) == pytest.approx(plain + 1)
    assert value(entry(hits=1)) == pytest.approx(plain + 1)
    assert value(entry(), 2_000) == pytest.approx(plain - 1)
    assert value(entry(last_hit_at=1_100.0)) == pytest.approx(plain + 1)
    assert value(entry(created_at=1_100.0)) == pytest.approx(plain + 1)


def test_what_costs_nothing_is_worth_a_little() -> None:
    assert value(entry(cost_usd=Decimal(0))) == value(entry(cost_usd=None))
    assert value(entry(cost_usd=None)) < value(entry())


@given(
    st.lists(st.tuples(st.integers(0, 20), st.one_of(st.none(), st.integers(0, 5))), max_size=200)
)
def test_the_lowest_is_always_the_lowest(steps: list[tuple[int, int | None]]) -> None:
    """Against a plain table; a step makes an entry worth more, or takes it out for good."""
    table: dict[int, float] = {}
    order = Order(table.get)
    for number, (which, step) in enumerate(steps):
        known = list(table)[which % len(table)] if table else None
        if known is not None and step is None:
            del table[known]
        elif known is not None and which % 2:
            table[known] += step or 0
        else:
            table[number] = which
            order.put(number, which)
        if len(order) > 2 * len(table) + 64:
            order.trim(table)
            assert len(order) == len(table)
    while table:
        lowest = order.lowest()
        assert lowest is not None
        assert table[lowest] == min(table.values())
        del table[lowest]
    assert order.lowest() is None
