"""Sums and percentiles."""

from collections import Counter
from decimal import Decimal

import pytest

from deploy.cli.replay.sums import REST, Money, bump, general, percentiles


def test_percentiles_of_a_hundred_and_one_values() -> None:
    spread = percentiles([float(i) for i in range(101)])
    assert spread is not None
    assert (spread.p50, spread.p95, spread.p99) == pytest.approx((50, 95, 99))
    assert spread.count == 101


def test_percentiles_of_few_values() -> None:
    assert percentiles([]) is None
    one = percentiles([3.0])
    assert one is not None
    assert (one.p50, one.p99) == (3.0, 3.0)
    two = percentiles([2.0, 4.0])
    assert two is not None
    assert two.p50 == pytest.approx(3.0)
    assert two.p99 <= 4.0


def test_money_keeps_what_is_unknown_apart() -> None:
    unknown, money = Money(), Money()
    assert money.usd == 0
    unknown.add(None)
    assert unknown.usd is None
    money.add(Decimal("0.1"))
    money.add(Decimal("0.2"))
    both = money + unknown
    assert both.usd == money.usd == Decimal("0.3")
    assert (both.unknown, money.unknown) == (1, 0)


def test_reasons_that_differ_in_numbers_are_one() -> None:
    assert general("mean -0.523 over 45 tokens < -0.450") == "mean … over … tokens < …"
    assert general("local-7b said no_json v1.2") == "local-7b said no_json v1.2"


def test_a_counter_stays_bounded() -> None:
    counter: Counter[str] = Counter()
    for i in range(10):
        bump(counter, f"reason {i}", most=3)
    bump(counter, "reason 1", most=3)
    assert len(counter) == 4
    assert counter[REST] == 7
    assert counter["reason 1"] == 2
