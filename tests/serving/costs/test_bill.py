"""What is noted of an attempt's cost."""

from dataclasses import replace
from decimal import Decimal

import pytest

from serving.backend import Attempt, Service
from serving.costs.bill import bill, bill_nothing
from serving.costs.price import Price
from serving.wire.completion import Usage
from tests.serving.costs.fakes import CHEAP, DEAR

HALF = replace(CHEAP, batch_factor=Decimal("0.5"))
USAGE = Usage(1_000, 200, cached_tokens=400, cache_write_tokens=300, cache_write_1h_tokens=100)


def billed(
    price: Price | None, usage: Usage, *, service: Service = "live", at_most: bool = False
) -> list[Decimal | None]:
    """List, live and actual cost."""
    attempt = Attempt("a", "attempt", "small", "m", 0.0, service=service)
    bill(attempt, price, usage, at_most=at_most)
    assert attempt.usage is usage
    return [attempt.list_cost_usd, attempt.live_cost_usd, attempt.cost_usd]


def test_what_the_providers_cache_saved_stands_between_list_and_live() -> None:
    plain, live = Decimal("0.002"), CHEAP.cost(USAGE)
    assert live == Decimal("0.001") + Decimal("0.0003") + Decimal("0.00004") + Decimal("0.0004")
    assert billed(HALF, USAGE) == [plain, live, live]


def test_a_batch_costs_its_share_of_live() -> None:
    plain, live, cost = billed(HALF, USAGE, service="batch")
    assert (plain, live) == (Decimal("0.002"), CHEAP.cost(USAGE))
    assert cost == CHEAP.cost(USAGE) / 2


def test_a_prefix_that_was_only_written_costs_more_than_list() -> None:
    plain, live, _ = billed(CHEAP, Usage(1_000, 0, 0, 1_000, 1_000))
    assert (plain, live) == (Decimal("0.001"), Decimal("0.002"))


@pytest.mark.parametrize(("service", "share"), [("live", 1), ("batch", Decimal("0.5"))])
def test_nobody_knows_how_an_upper_bound_was_cached(service: Service, share: Decimal) -> None:
    most = HALF.upper_bound(USAGE)
    assert billed(HALF, USAGE, service=service, at_most=True) == [most, most, most * share]


def test_who_waited_knows_what_the_tier_above_would_have_cost() -> None:
    attempt = Attempt("a", "attempt", "small", "m", 0.0, service="flex")
    bill(attempt, CHEAP, USAGE, above=DEAR)
    assert attempt.above_cost_usd == DEAR.cost(Usage(1_000, 200)), "all input at the plain rate"
    bill(attempt, CHEAP, USAGE)
    assert attempt.above_cost_usd is None


def test_an_unknown_price_stays_unknown() -> None:
    assert billed(None, USAGE) == [None] * 3
    assert billed(CHEAP, USAGE, service="batch") == [None] * 3, "no batch price is known"


def test_what_was_not_billed_costs_nothing() -> None:
    attempt = Attempt("a", "attempt", "small", "m", 0.0)
    bill(attempt, CHEAP, USAGE)
    bill_nothing(attempt)
    assert attempt.usage == Usage()
    assert [attempt.list_cost_usd, attempt.live_cost_usd, attempt.cost_usd] == [0, 0, 0]
