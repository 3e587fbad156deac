"""The rate card: what is built in, what a user adds, and what a tier costs."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from serving.costs.price import Price
from serving.costs.rate_card import RateCard, capacity_cost, tier_price
from serving.errors import ConfigError
from serving.settings.tiers import GpuPrice, TierSettings
from serving.wire.completion import Usage

ON = date(2026, 11, 21)
CLAUDE = [
    "claude-haiku-4-5",
    "claude-haiku-5-5",
    "claude-sonnet-4-6",
    "claude-sonnet-5",
    "claude-sonnet-5-5",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-opus-5-5",
]


@pytest.fixture(scope="module")
def card() -> RateCard:
    return RateCard.load()


def known(price: Price | None) -> Price:
    assert price is not None
    return price


def usd(price: Price | None, usage: Usage, *, batch: bool = False) -> Decimal:
    return known(price).cost(usage, batch=batch)


def tier(price: dict[str, Any] | None = None, model: str = "claude-opus-5-5") -> TierSettings:
    given: dict[str, Any] = {"name": "t", "model": model, "backend": {"engine": "mock"}}
    return TypeAdapter(TierSettings).validate_python(given | ({"price": price} if price else {}))


@pytest.mark.parametrize("model", CLAUDE)
def test_claude_prices_follow_the_published_rules(card: RateCard, model: str) -> None:
    """Writes cost 1.25 and 2 times the input, reads a tenth or, on the newest, a twentieth."""
    price = known(card.price(model, ON))
    for rates in [price.rates, *([price.long_context.rates] if price.long_context else [])]:
        assert rates.cache_write == rates.input * Decimal("1.25")
        assert rates.cache_write_1h == rates.input * 2
        cheap = model in {"claude-sonnet-5-5", "claude-opus-5-5"}
        assert rates.cache_read == rates.input * Decimal("0.05" if cheap else "0.1")
        assert rates.output == rates.input * 5
    assert price.batch_factor == Decimal("0.5")


def test_an_opus_call_with_caching(card: RateCard) -> None:
    usage = Usage(
        prompt_tokens=10_000,
        completion_tokens=500,
        cached_tokens=6_000,
        cache_write_tokens=3_000,
        cache_write_1h_tokens=1_000,
    )
    # 1,000 plain at 4, 6,000 read at 0.20, 2,000 written at 5, 1,000 at 8, 500 out at 20
    expected = Decimal("0.004") + Decimal("0.0012") + Decimal("0.01") + Decimal("0.008")
    assert usd(card.price("claude-opus-5-5", ON), usage) == expected + Decimal("0.01")


def test_haiku_55_is_dearer_beyond_100k_tokens(card: RateCard) -> None:
    haiku = card.price("claude-haiku-5-5", ON)
    assert usd(haiku, Usage(100_000, 1_000)) == Decimal("0.0105")
    assert usd(haiku, Usage(100_001, 1_000)) == Decimal("0.0525005")
    assert usd(haiku, Usage(100_001, 1_000), batch=True) == Decimal("0.02625025")


def test_us_only_costs_a_tenth_more(card: RateCard) -> None:
    usage = Usage(200_000, 1_000, cached_tokens=10)
    for model in CLAUDE:
        plain, us = card.price(model, ON), card.price(model, ON, geo_us=True)
        assert usd(us, usage) == usd(plain, usage) * Decimal("1.1")
    assert card.price("gpt-4o", ON, geo_us=True) is None


def test_older_prices_are_kept(card: RateCard) -> None:
    million = Usage(1_000_000, 1_000_000)
    assert usd(card.price("gpt-4o", ON), million) == Decimal("12.50")
    assert usd(card.price("gpt-4o-mini", ON), million) == Decimal("0.75")
    assert usd(card.price("llama-3.1-8b", ON), million) == Decimal("0.12")
    assert usd(card.price("llama-3.1-70b", ON), million) == Decimal("1.38")
    assert usd(card.price("text-embedding-3-small", ON), million) == Decimal("0.02")


def test_an_unknown_price_is_none(card: RateCard) -> None:
    assert card.price("gpt-9") is None
    assert card.price("claude-opus-5-5", date(2020, 1, 1)) is None
    assert tier_price(tier(model="gpt-9"), card) is None
    with pytest.raises(ValueError, match="no batch price"):
        known(card.price("gpt-4o", ON)).cost(Usage(1, 1), batch=True)


def test_a_dated_snapshot_costs_what_its_model_does(card: RateCard) -> None:
    assert card.price("claude-haiku-4-5-20251001", ON) == card.price("claude-haiku-4-5", ON)


EXTRA = """
prices:
  - {model: claude-opus-5-5, from: 2026-10-01, source: our contract, input: 3, output: 15}
  - {model: claude-opus-5-5, from: 2026-12-01, source: our contract, input: 2, output: 10}
  - {model: our-model, from: 2026-01-01, source: us, input: 0.1, output: 0.2, cache_read: 0}
"""


def test_a_users_card_adds_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text(EXTRA)
    card = RateCard.load(tmp_path / "rates.yaml")
    million = Usage(1_000_000, 0)
    assert usd(card.price("claude-opus-5-5", date(2026, 11, 30)), million) == 3
    assert usd(card.price("claude-opus-5-5", date(2026, 12, 1)), million) == 2
    cached = Usage(1_000_000, 0, cached_tokens=1_000_000)
    assert usd(card.price("claude-opus-5-5", date(2026, 12, 1)), cached) == 2, (
        "a missing cache rate"
    )
    assert usd(card.price("our-model", ON), cached) == 0, "a given zero"
    assert usd(card.price("claude-haiku-4-5", ON), million) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{model: m, from: 2026-01-01, source: s, input: 1, ouput: 2}", "did you mean 'output'?"),
        ("{model: m, from: 2026-01-01, source: s, input: -1, output: 2}", "greater than or equal"),
        ("{model: m, from: soon, source: s, input: 1, output: 2}", "prices.0.from"),
        ("{model: m, from: 2026-01-01, input: 1, output: 2}", "prices.0.source"),
    ],
)
def test_a_wrong_card_says_where(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text(f"prices:\n  - {line}\n")
    with pytest.raises(ConfigError) as caught:
        RateCard.load(file)
    assert says in caught.value.message
    assert str(file) in caught.value.message


def test_two_prices_from_one_day_contradict(tmp_path: Path) -> None:
    line = "  - {model: m, from: 2026-01-01, source: s, input: 1, output: 2}\n"
    (tmp_path / "rates.yaml").write_text(f"prices:\n{line}{line}")
    with pytest.raises(ConfigError, match="m has two prices from 2026-01-01"):
        RateCard.load(tmp_path / "rates.yaml")


def test_a_tier_on_the_card(card: RateCard) -> None:
    assert tier_price(tier(), card, ON) == card.price("claude-opus-5-5", ON)
    other = tier({"kind": "card", "model": "claude-sonnet-5", "geo_us": True})
    assert tier_price(other, card, ON) == card.price("claude-sonnet-5", ON, geo_us=True)


def test_a_tier_with_token_prices(card: RateCard) -> None:
    given = {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 2}
    usage = Usage(1_000_000, 1_000_000, 400_000, 300_000, 100_000)
    assert usd(tier_price(tier(given), card), usage) == 3
    given |= {"cache_read_per_mtok": 0, "cache_write_per_mtok": 2}
    assert usd(tier_price(tier(given), card), usage) == Decimal("0.3") + Decimal("0.6") + 2


def test_a_tier_on_gpus_costs_its_share_of_a_busy_gpu(card: RateCard) -> None:
    given = {
        "kind": "gpu",
        "gpu_hour": 3.6,
        "gpus": 2,
        "prefill_tokens_per_s": 10_000,
        "decode_tokens_per_s": 500,
    }
    settings = tier(given)
    # (20,000 / 10,000 + 1,000 / 500) seconds of 2 GPUs at 0.001 a second
    usage = Usage(20_000, 1_000, cached_tokens=15_000)
    assert usd(tier_price(settings, card), usage) == Decimal("0.008")
    assert isinstance(settings.price, GpuPrice)
    assert capacity_cost(settings.price, Decimal(10)) == 72


def test_prices_are_immutable(card: RateCard) -> None:
    with pytest.raises(AttributeError):
        known(card.price("gpt-4o", ON)).source = "mine"  # type: ignore[misc] # that is the point
