"""A fall is told once, and noise is not a fall."""

import random

import pytest

from cache.prompt.hit_rate import Fall, HitRates, wilson


def falls(rates: HitRates, shares: list[float], tenant: str = "acme") -> list[tuple[int, Fall]]:
    found = [(i, rates.add(tenant, "support", share)) for i, share in enumerate(shares)]
    return [(i, fall) for i, fall in found if fall is not None]


def test_wilson_s_interval() -> None:
    # 7 of 10 at 95%: [0.397, 0.892], a textbook example.
    low, high = wilson(0.7, 10, 1.959964)
    assert low == pytest.approx(0.3968, abs=1e-4)
    assert high == pytest.approx(0.8922, abs=1e-4)
    assert wilson(0.0, 25, 3.0)[0] == pytest.approx(0.0)
    assert wilson(1.0, 25, 3.0)[1] == pytest.approx(1.0)


def test_a_fall_is_told_once_at_the_end_of_its_window() -> None:
    rates = HitRates(window=25, confidence=0.999)
    assert falls(rates, [0.9] * 100) == []
    told = falls(rates, [0.0] * 100)
    assert [i for i, _ in told] == [24]
    fall = told[0][1]
    assert (fall.calls_before, fall.calls_now) == (100, 25)
    assert fall.before == pytest.approx(0.9)
    assert fall.now == 0.0
    assert fall.highest_now < fall.lowest_before


def test_a_partial_fall_needs_more_calls() -> None:
    shares = [0.9] * 500 + [0.6] * 200
    assert falls(HitRates(window=10, confidence=0.999), shares) == []
    assert len(falls(HitRates(window=100, confidence=0.999), shares)) == 1


def test_noise_and_a_slow_change_are_no_fall() -> None:
    rng = random.Random(4)
    rates = HitRates(window=25, confidence=0.999)
    assert falls(rates, [rng.choice([0.0, 0.95]) for _ in range(20_000)]) == []
    assert falls(HitRates(window=25, confidence=0.999), [0.2] * 50 + [0.9] * 500) == []


def test_a_new_feature_has_no_past() -> None:
    rates = HitRates(window=25, confidence=0.999)
    assert falls(rates, [0.9] * 100) == []
    assert falls(rates, [0.0] * 100, tenant="globex") == []
