"""What may be bought for an hour, by what was saved or lost so far."""

import pytest

from cache.prompt.economics import RelativePrices
from cache.prompt.stakes import LOSS, Stakes

PRICES = RelativePrices(0.1, 1.25, 2.0)


def stakes(*, own: float, plain: float, five_minutes: float, hour: float) -> Stakes:
    return Stakes(own, plain, five_minutes, hour)


def test_the_lead_over_five_minutes_may_be_staked_and_no_more() -> None:
    ahead = stakes(own=1_000.0, plain=5_000.0, five_minutes=1_745.0, hour=6_000.0)
    assert ahead.may_stake(1_000, PRICES)  # costs 750 more: the lead of 745 and 5 of the seed
    assert not ahead.may_stake(1_001, PRICES)


def test_nothing_but_the_seed_may_be_staked_without_a_lead() -> None:
    level = stakes(own=1_000.0, plain=5_000.0, five_minutes=1_000.0, hour=6_000.0)
    assert level.may_stake(6, PRICES)
    assert not level.may_stake(7, PRICES)


@pytest.mark.parametrize(("own", "may"), [(1_000.0, True), (1_000.0 / (1 - LOSS) + 1, False)])
def test_a_lead_over_a_bad_habit_does_not_excuse_losses(own: float, *, may: bool) -> None:
    """Five minutes are wasted here; storing nothing would have been cheapest."""
    far_ahead = stakes(own=own, plain=1_000.0, five_minutes=1_250.0, hour=2_000.0)
    assert far_ahead.may_stake(1, PRICES) is may


def test_where_an_hour_is_the_best_habit_it_needs_no_lead() -> None:
    behind = stakes(own=9_000.0, plain=5_000.0, five_minutes=6_000.0, hour=4_000.0)
    assert behind.may_stake(1_000_000, PRICES)
