"""What `check` says of local tiers against hosted models."""

from decimal import Decimal
from typing import Any

from deploy.cli.check_money import Compared, compared, money_findings
from serving.costs.breakeven import Mix
from serving.costs.rate_card import RateCard, tier_price
from serving.settings.root import Settings

MIX = Mix(1_200, 200)
PRICE = {
    "kind": "gpu",
    "gpu_hour": "3.6",
    "prefill_tokens_per_s": 6_000,
    "decode_tokens_per_s": 1_000,
    "utilisation": 0.3,
}
LOCAL: dict[str, Any] = {
    "name": "local",
    "model": "m",
    "backend": {"engine": "openai", "base_url": "http://127.0.0.1:9/v1"},
    "price": PRICE,
}
OPUS: dict[str, Any] = {
    "name": "opus",
    "model": "claude-opus-5-5",
    "backend": {"engine": "anthropic"},
}


def comparisons(*tiers: dict[str, Any], utilisation: float | None = None) -> list[Compared]:
    settings = Settings.model_validate({"tiers": list(tiers)})
    card = RateCard.load()
    prices = {t.name: tier_price(t, card) for t in settings.tiers}
    return list(compared(settings, prices, card, MIX, utilisation))


def test_a_local_tier_meets_the_hosted_tiers_and_the_cheapest_claude() -> None:
    found = comparisons(LOCAL, OPUS)
    assert [(c.tier, c.hosted) for c in found] == [
        ("local", "opus"),
        ("local", "claude-haiku-5-5"),
    ]
    opus, haiku = (c.figures for c in found)
    assert opus.busy_usd == haiku.busy_usd == Decimal("0.0004")
    # 1,560 and 260 tokens of Claude's own.
    assert opus.hosted_usd == Decimal("0.01144")
    assert haiku.hosted_usd == Decimal("0.000286")
    assert (opus.undercut, haiku.undercut) == (False, True)


def test_an_undercut_is_a_warning_with_the_break_even() -> None:
    cheaper = {**LOCAL, "price": PRICE | {"gpu_hour": "1.8"}}
    (finding,) = money_findings(tuple(comparisons(cheaper, OPUS)))
    assert (finding.level, finding.where) == ("warning", "tiers.local.price")
    for said in (
        "claude-haiku-5-5 undercuts it at 30% utilisation",
        "0.67 USD here, 0.29 USD there",
        "1,200 and 200 tokens",
        "it pays from 70% on, 151,049 requests a day",
    ):
        assert said in finding.message
    (never,) = money_findings(tuple(comparisons(LOCAL, OPUS)))
    assert "even always busy it costs 0.40 USD" in never.message


def test_utilisation_can_be_asked_for() -> None:
    assert comparisons(LOCAL, OPUS, utilisation=0.5)[0].figures.owned_usd == Decimal("0.0008")
    cheaper = {**LOCAL, "price": PRICE | {"gpu_hour": "1.8"}}
    assert list(money_findings(tuple(comparisons(cheaper, OPUS, utilisation=0.8)))) == []


def test_the_cheapest_claude_is_not_named_twice() -> None:
    haiku = {**OPUS, "name": "haiku", "model": "claude-haiku-5-5"}
    names = [c.hosted for c in comparisons(LOCAL, haiku)]
    assert names[0] == "haiku"
    assert "claude-haiku-5-5" not in names


def test_only_real_tiers_on_gpus_are_compared() -> None:
    mock = {"name": "mock", "model": "m", "backend": {"engine": "mock"}, "price": PRICE}
    assert comparisons(mock, OPUS) == []
    tokens = {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 1}
    assert comparisons({**LOCAL, "price": tokens}, OPUS) == []
