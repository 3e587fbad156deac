"""When owning GPUs costs less than paying per token."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.costs.breakeven import BreakEven, Mix, break_even
from serving.costs.price import Price, Rates
from serving.costs.rate_card import RateCard, tier_price
from serving.settings.tiers import GpuPrice, TierSettings

MIX = Mix(prompt_tokens=1_000, completion_tokens=500)
# 3.6 USD an hour are 0.001 a second; a request keeps it busy for 0.1 + 1 second.
GPUS = {"kind": "gpu", "gpu_hour": "1.8", "gpus": 2, "prefill_tokens_per_s": 10_000}
TIER = {"name": "t", "model": "m", "backend": {"engine": "mock"}}


def flat(usd_per_mtok: str) -> Price:
    rate = Decimal(usd_per_mtok) / 1_000_000
    return Price(Rates(*[rate] * 5), source="a test")


def compared(
    hosted: Price, *, utilisation: str = "0.5", mix: Mix = MIX, tokenizer: float = 1.0
) -> BreakEven | None:
    given = TIER | {"price": GPUS | {"decode_tokens_per_s": 500}}
    tier = TierSettings.model_validate(given)
    marginal = tier_price(tier, RateCard([]))
    assert isinstance(tier.price, GpuPrice)
    assert marginal is not None
    return break_even(
        tier.price, marginal, hosted, mix, utilisation=Decimal(utilisation), tokenizer=tokenizer
    )


def figures(hosted: Price, *, utilisation: str = "0.5", tokenizer: float = 1.0) -> BreakEven:
    found = compared(hosted, utilisation=utilisation, tokenizer=tokenizer)
    assert found is not None
    return found


def test_a_request_costs_its_seconds_and_its_share_of_the_idle_ones() -> None:
    found = figures(flat("2"))
    assert found.busy_usd == Decimal("0.0011")
    assert found.owned_usd == Decimal("0.0022")
    assert found.hosted_usd == Decimal("0.003")
    assert not found.undercut


def test_the_break_even_is_where_both_cost_the_same() -> None:
    found = figures(flat("2"))
    assert found.at == Decimal("0.0011") / Decimal("0.003")
    there = figures(flat("2"), utilisation=str(found.at))
    assert there.owned_usd == pytest.approx(there.hosted_usd)
    assert figures(flat("2"), utilisation="0.36").undercut
    assert not figures(flat("2"), utilisation="0.37").undercut


def test_as_many_requests_a_day_pay_for_the_gpus() -> None:
    found = figures(flat("2"))
    assert found.requests_per_day * found.hosted_usd == Decimal("3.6") * 24
    busy_seconds = float(found.requests_per_day) * 1.1
    assert busy_seconds / 86_400 == pytest.approx(float(found.at))


def test_a_hosted_model_may_be_cheaper_always() -> None:
    cheap = figures(flat("0.5"), utilisation="1")
    assert cheap.at > 1
    assert cheap.never_pays
    assert cheap.undercut
    assert not figures(flat("2")).never_pays


def test_a_tokenizer_that_counts_more_makes_the_hosted_model_dearer() -> None:
    assert figures(flat("2"), tokenizer=1.3).hosted_usd == Decimal("0.0039")


def test_what_costs_nothing_is_not_compared() -> None:
    assert compared(flat("0")) is None


@given(
    utilisation=st.decimals("0.01", "1", places=2),
    price=st.decimals("0.01", "50", places=2),
    prompt=st.integers(1, 100_000),
    completion=st.integers(1, 10_000),
)
def test_the_hosted_model_undercuts_exactly_below_the_break_even(
    utilisation: Decimal, price: Decimal, prompt: int, completion: int
) -> None:
    mix = Mix(prompt, completion)
    found = compared(flat(str(price)), utilisation=str(utilisation), mix=mix)
    assert found is not None
    assert found.undercut == (found.busy_usd > found.hosted_usd * utilisation)
