"""What tokens cost, to the picodollar."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.costs.price import MTOK, LongContext, Price, Rates
from serving.wire.completion import Usage

counts = st.integers(min_value=0, max_value=2_000_000)
per_mtok = st.decimals(min_value=0, max_value=100, places=4)


@st.composite
def rates(draw: st.DrawFn) -> Rates:
    return Rates(*(draw(per_mtok) / MTOK for _ in range(5)))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage that adds up: cached, written and plain tokens are parts of the prompt."""
    cached, written, plain = draw(counts), draw(counts), draw(counts)
    return Usage(
        prompt_tokens=cached + written + plain,
        completion_tokens=draw(counts),
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=draw(st.integers(0, written)),
    )


def price(of: Rates) -> Price:
    return Price(of, source="a test", batch_factor=Decimal("0.5"))


@given(rates(), usages())
def test_the_cost_is_exact(of: Rates, usage: Usage) -> None:
    plain = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    written_5m = usage.cache_write_tokens - usage.cache_write_1h_tokens
    exact = (
        Fraction(of.input) * plain
        + Fraction(of.cache_read) * usage.cached_tokens
        + Fraction(of.cache_write) * written_5m
        + Fraction(of.cache_write_1h) * usage.cache_write_1h_tokens
        + Fraction(of.output) * usage.completion_tokens
    )
    assert Fraction(price(of).cost(usage)) == exact


@given(rates(), usages())
def test_every_prompt_token_is_billed_once(of: Rates, usage: Usage) -> None:
    """With one rate for all input, it does not matter how the prompt is split."""
    flat = Rates(of.input, of.output, of.input, of.input, of.input)
    plain = Usage(usage.prompt_tokens, usage.completion_tokens)
    assert price(flat).cost(usage) == price(flat).cost(plain)


@given(rates(), st.builds(Usage, counts, counts, counts, counts, counts))
def test_contradictory_counts_bill_no_token_twice_and_none_below_zero(
    of: Rates, usage: Usage
) -> None:
    input_rates = (of.input, of.cache_read, of.cache_write, of.cache_write_1h)
    output = of.output * usage.completion_tokens
    least, most = (f(input_rates) * usage.prompt_tokens + output for f in (min, max))
    cost = price(of).cost(usage)
    assert least <= cost <= most
    assert cost <= price(of).upper_bound(usage)


@given(rates(), usages(), st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_cost_is_monotone(of: Rates, usage: Usage, prompt: int, completion: int) -> None:
    more = Usage(
        usage.prompt_tokens + prompt,
        usage.completion_tokens + completion,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
    )
    dear = Price(of, "a test", long_context=LongContext(100_000, of.scaled(Decimal(5))))
    assert dear.cost(usage) <= dear.cost(more)


def test_the_whole_prompt_decides_on_the_long_context_rates() -> None:
    base = Rates(*(Decimal(n) / MTOK for n in (1, 5, 1, 1, 1)))
    dear = Price(base, "a test", long_context=LongContext(100_000, base.scaled(Decimal(5))))
    assert dear.cost(Usage(100_000, 0, cached_tokens=99_999)) == Decimal("0.1")
    assert dear.cost(Usage(100_001, 0, cached_tokens=100_000)) == Decimal("0.500005")
    assert dear.cost(Usage(100_001, 1_000_000)) == Decimal("25.500005")


def test_a_batch_scales_everything_or_is_unknown() -> None:
    of = Rates(*(Decimal(n) / MTOK for n in (2, 10, 1, 3, 4)))
    usage = Usage(1_000, 100, 200, 300, 100)
    assert price(of).cost(usage, batch=True) == price(of).cost(usage) / 2
    with pytest.raises(ValueError, match="no batch price is known"):
        Price(of, "a test").cost(usage, batch=True)


def test_costs_are_whole_picodollars() -> None:
    third = Decimal(1) / 3 / MTOK
    cost = Price(Rates(*[third] * 5), "a test").cost(Usage(1, 1))
    assert cost == Decimal("0.000000666667")


def test_a_price_describes_itself_per_million_tokens() -> None:
    of = Rates(*(Decimal(n) / MTOK for n in ("0.10", "0.5", "0.01", "0.125", "0.2")))
    shown = Price(of, "a page", batch_factor=Decimal("0.50")).describe()
    assert shown == {
        "input": "0.1",
        "output": "0.5",
        "cache_read": "0.01",
        "cache_write": "0.125",
        "cache_write_1h": "0.2",
        "batch_factor": "0.5",
        "source": "a page",
    }
