"""What is warm at a tier by the clock, and what an attempt there is expected to cost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.warmth import COLD, TierRates, TokenRates, Warmth, warm_cost
from serving.costs.price import MTOK, LongContext, Price, Rates
from serving.costs.rate_card import RateCard
from serving.wire.completion import Usage

T = 1_800_000_000.0
MINUTE = 60.0

OPUS = Rates(*(Decimal(usd) / MTOK for usd in ("4", "20", "0.20", "5", "8")))
"""Input, output, read, 5-minute and 1-hour write of a hosted model, in USD per million tokens."""


def after(*attempts: tuple[float, Usage]) -> Warmth:
    found = COLD
    for minutes, usage in attempts:
        found = found.after(usage, T + minutes * MINUTE)
    return found


def left(found: Warmth, minutes: float) -> int:
    return found.left(T + minutes * MINUTE)


WRITES = Usage(2_000, 100, cache_write_tokens=1_900)
READS = Usage(2_400, 100, cached_tokens=1_900, cache_write_tokens=400)


def test_what_was_written_is_warm_for_five_minutes() -> None:
    found = after((0, WRITES))
    assert [left(found, m) for m in (0, 4.9, 5.0, 59)] == [1_900, 1_900, 0, 0]


def test_a_read_refreshes_what_it_read_and_the_write_adds_to_it() -> None:
    found = after((0, WRITES), (4, READS))
    assert [left(found, m) for m in (4, 8.9, 9.1)] == [2_300, 2_300, 0]


def test_what_was_written_for_an_hour_outlives_what_follows_it() -> None:
    both = Usage(3_000, 1, cache_write_tokens=2_500, cache_write_1h_tokens=2_000)
    found = after((0, both))
    assert [left(found, m) for m in (4, 6, 59, 60)] == [2_500, 2_000, 2_000, 0]


def test_a_one_hour_entry_keeps_its_hour_when_it_is_read() -> None:
    hour = Usage(3_000, 1, cache_write_tokens=2_000, cache_write_1h_tokens=2_000)
    read = Usage(3_500, 1, cached_tokens=2_000, cache_write_tokens=700)
    found = after((0, hour), (30, read))
    assert [left(found, m) for m in (34, 36, 89, 91)] == [2_700, 2_000, 2_000, 0]


def test_reads_without_a_known_write_live_for_the_shorter_time() -> None:
    found = after((0, Usage(1_000, 1, cached_tokens=900)))
    assert [left(found, m) for m in (4, 6)] == [900, 0]


def test_a_prompt_that_was_neither_read_nor_written_leaves_nothing_warm() -> None:
    assert left(after((0, WRITES), (1, Usage(2_400, 100))), 1) == 0


def test_an_attempt_whose_usage_never_came_changes_nothing() -> None:
    found = after((0, WRITES), (4, Usage(3_600, 4_096, estimated=True)))
    assert found == after((0, WRITES))


COUNT = st.integers(-10, 10**6)


@given(st.lists(st.tuples(st.floats(0, 200), st.builds(Usage, *[COUNT] * 5), st.booleans())))
def test_an_hour_is_never_more_than_all(turns: list[tuple[float, Usage, bool]]) -> None:
    found = after(*((minutes, usage) for minutes, usage, _ in turns))
    assert 0 <= found.hour_tokens <= found.tokens


RATES = TokenRates.of(OPUS)


def cost(warm: int, *, caches: bool, warmth: Warmth = COLD) -> float:
    return warm_cost(
        RATES, warmth, warm_tokens=warm, prompt_tokens=2_000, completion_tokens=100, caches=caches
    )


def test_what_is_warm_costs_the_read_rate_and_the_rest_is_written_where_all_is_cached() -> None:
    answer = 100 * 20e-6
    assert cost(0, caches=False) == pytest.approx(2_000 * 4e-6 + answer)
    assert cost(0, caches=True) == pytest.approx(2_000 * 5e-6 + answer)
    assert cost(1_800, caches=True) == pytest.approx(1_800 * 0.2e-6 + 200 * 5e-6 + answer)


def test_the_rest_is_written_for_an_hour_where_all_before_was() -> None:
    hourly, mixed = Warmth(1_800, 1_800, T), Warmth(1_800, 1_000, T)
    answer_and_reads = 100 * 20e-6 + 1_800 * 0.2e-6
    assert cost(1_800, caches=True, warmth=hourly) == pytest.approx(answer_and_reads + 200 * 8e-6)
    assert cost(1_800, caches=True, warmth=mixed) == pytest.approx(answer_and_reads + 200 * 5e-6)


def test_a_long_prompt_has_the_long_context_rates() -> None:
    long = LongContext(100_000, OPUS.scaled(Decimal(5)))
    rates = TierRates.of(Price(OPUS, "test", long_context=long))
    assert rates.at(100_000).prompt == pytest.approx(4e-6)
    assert rates.at(100_001).prompt == pytest.approx(20e-6)
    assert TierRates.of(Price(OPUS, "test")).at(10**9).prompt == pytest.approx(4e-6)


def test_an_uncached_cost_is_the_ledgers() -> None:
    card = RateCard.load()
    for model in card.models:
        price = card.price(model)
        for prompt in (1_000, 150_000):
            usage = Usage(prompt, 256)
            assert price is not None
            found = TierRates.of(price).at(prompt).cost(prompt, 256)
            assert found == pytest.approx(float(price.cost(usage))), model
