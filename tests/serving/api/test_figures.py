"""Figures and routes, from traces."""

from decimal import Decimal
from typing import Any

import pytest

from serving.api.figures import Figures, money, trace_wire
from serving.backend import Attempt, Trace


def attempt(tier: str, cost: str | None, **more: Any) -> Attempt:
    priced = None if cost is None else Decimal(cost)
    return Attempt("a", "attempt", tier, "m", 0.0, cost_usd=priced, **more)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0E-12", "0"),
        ("0.0000001", "0.0000001"),
        ("1E-12", "0.000000000001"),
        ("1.2300", "1.23"),
        ("1E+3", "1000"),
    ],
)
def test_money_is_plain_and_exact(amount: str, text: str) -> None:
    assert money(Decimal(amount)) == text


def test_unknown_money_is_unknown() -> None:
    assert money(None) is None


def test_an_escalated_answer() -> None:
    trace = Trace(tier="large", cache="miss")
    trace.attempts = [
        attempt("small", "0.001"),
        attempt("large", "0.02", baseline_cost_usd=Decimal("0.03"), simulated=True),
    ]
    figures = Figures.of([trace])
    assert figures.tier == "large"
    assert figures.cost_usd == Decimal("0.021")
    assert figures.baseline_cost_usd == Decimal("0.03")
    assert figures.escalations == 1
    assert figures.simulated
    assert not figures.best_effort


def test_one_unknown_price_makes_the_cost_unknown() -> None:
    trace = Trace(attempts=[attempt("small", "0.001"), attempt("large", None)])
    assert Figures.of([trace]).cost_usd is None
    assert Figures.of([trace, Trace()]).wire()["cost_usd"] is None


def test_routes_of_several_prompts_add_up() -> None:
    one = Trace(tier="small", cache="exact", attempts=[attempt("small", "0.1")], dropped=["a"])
    two = Trace(tier="large", cache="miss", best_effort="failed json", dropped=["a", "b"])
    two.attempts = [attempt("small", "0.1"), attempt("large", "0.3")]
    figures = Figures.of([one, two])
    assert figures.tier == "small,large"
    assert figures.cost_usd == Decimal("0.5")
    assert figures.escalations == 1
    assert figures.cache == "miss"
    assert figures.best_effort == "failed json"
    assert figures.dropped_params == ("a", "b")
    routes = trace_wire("req_1", [one, two])["routes"]
    assert [len(r["attempts"]) for r in routes] == [1, 2]


def test_nothing_happened() -> None:
    figures = Figures.of([])
    assert figures.tier is None
    assert figures.cost_usd is None
    assert figures.cache == "off"
