from decimal import Decimal

import pytest

from serving.costs.rate_card import RateCard
from serving.hosted.emulator.billing.prices import TARIFFS, Tokens, usd


def test_tokens_add_up() -> None:
    assert Tokens(1, 2, 3, 4, 5) + Tokens(10, 20, 30, 40, 50) == Tokens(11, 22, 33, 44, 55)
    assert Tokens(1, 2, 3, 4, 5).prompt == 10


def test_a_price_that_is_not_known_is_not_zero() -> None:
    assert usd("claude-fable-5-1", Tokens(input=1)) is None
    assert usd("gpt-4o", Tokens(input=1)) is None


def test_a_dated_snapshot_costs_what_its_model_does() -> None:
    used = Tokens(input=1_000_000)
    assert usd("claude-haiku-4-5-20251001", used) == usd("claude-haiku-4-5", used) == Decimal(1)


def test_factors_multiply() -> None:
    used = Tokens(input=1_000_000)
    assert usd("claude-opus-5", used, batch=True, us=True) == Decimal("2.75")


@pytest.mark.parametrize("model", sorted(TARIFFS))
def test_the_table_knows_the_models_that_the_rate_card_knows(model: str) -> None:
    assert model in RateCard.load().models


def test_the_rate_card_knows_no_claude_that_the_table_lacks() -> None:
    assert {m for m in RateCard.load().models if m.startswith("claude-")} == set(TARIFFS)
