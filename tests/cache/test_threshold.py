"""The cut keeps wrong hits under what the user allows, and follows what outcomes tell."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from cache.threshold import NOTHING, EntryEvidence, Threshold

Truth = Callable[[float], float]
"""The chance that the stored answer of a score is wrong."""


def as_calibrated(score: float) -> float:
    return 1 / (1 + math.exp(score))


def worse(score: float) -> float:
    """Four times as often wrong as the calibration says."""
    return min(1.0, 4 * as_calibrated(score))


def better(score: float) -> float:
    return as_calibrated(score + 2)


def run(threshold: Threshold, truth: Truth, lookups: int, seed: int) -> tuple[int, int]:
    """Hits and wrong hits. Of hits one in ten is checked; every miss is known."""
    rng = random.Random(seed)
    hits = wrong_hits = 0
    for _ in range(lookups):
        score = rng.gauss(2.0, 2.5)
        wrong = rng.random() < truth(score)
        hit = threshold.cut.allows(score)
        threshold.looked_up(score)
        hits += hit
        wrong_hits += hit and wrong
        if not hit or rng.random() < 0.1:
            threshold.observe(score, wrong=wrong)
    return hits, wrong_hits


def test_before_anything_is_known_it_is_stricter_than_the_calibration() -> None:
    cut = Threshold(delta=0.02).cut
    assert as_calibrated(cut.score) < 0.02
    assert cut.outcomes == 0
    assert cut.expected < cut.at_most <= 0.02


@pytest.mark.parametrize("truth", [as_calibrated, better])
def test_wrong_hits_stay_under_delta_and_hits_grow(truth: Truth) -> None:
    rates, grown = [], 0
    for seed in range(20):
        threshold = Threshold(delta=0.02)
        hits, wrong = run(threshold, truth, 6_000, seed)
        rates.append(wrong / hits)
        grown += threshold.cut.score <= Threshold(delta=0.02).cut.score
    assert sum(rate <= 0.02 for rate in rates) >= 18
    assert grown == 20


def test_a_calibration_that_is_far_off_is_corrected() -> None:
    for seed in range(5):
        threshold = Threshold(delta=0.02)
        run(threshold, worse, 8_000, seed)
        hits, wrong = run(threshold, worse, 8_000, seed + 100)
        assert threshold.cut.score > Threshold(delta=0.02).cut.score
        assert wrong <= 0.025 * max(hits, 1)


def test_wrong_outcomes_tighten_at_once_and_right_ones_loosen_slowly() -> None:
    threshold = Threshold(delta=0.05)
    for _ in range(400):
        threshold.looked_up(4.1)
        threshold.observe(4.1, wrong=False)
    before = threshold.cut.score
    for _ in range(10):
        threshold.observe(before + 0.01, wrong=True)
    tightened = threshold.cut.score
    assert tightened > before
    lowered: list[int] = []
    last = tightened
    for outcome in range(5_000):
        threshold.observe(before + 0.01, wrong=False)
        if threshold.cut.score < last:
            lowered.append(outcome)
            last = threshold.cut.score
    assert len(lowered) >= 2
    assert all(b - a >= 25 for a, b in pairwise(lowered))


def test_where_everything_is_wrong_nothing_is_served() -> None:
    threshold = Threshold(delta=0.01)
    for score in range(10):
        for _ in range(500):
            threshold.looked_up(score)
            threshold.observe(score, wrong=True)
    assert not threshold.cut.allows(7.9)


def test_scores_below_an_even_chance_are_never_served() -> None:
    threshold = Threshold(delta=0.5, confidence=0.5)
    for _ in range(3_000):
        threshold.looked_up(-1)
        threshold.observe(-1, wrong=False)
        threshold.observe(float("nan"), wrong=False)
    assert not threshold.cut.allows(-1)


@pytest.mark.parametrize(("delta", "confidence"), [(0, 0.95), (1, 0.95), (0.02, 1), (0.02, 0.4)])
def test_bounds_that_make_no_sense_are_refused(delta: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="delta lies between"):
        Threshold(delta, confidence)


def test_one_wrong_answer_of_an_entry_outweighs_several_right_ones() -> None:
    fresh = EntryEvidence()
    good = fresh
    for _ in range(5):
        good = good.after(wrong=False)
    assert fresh.shift == 0 < good.shift <= 1
    assert good.after(wrong=True).shift < 0
    assert EntryEvidence(right=10_000).shift == 1
    assert EntryEvidence(wrong=10_000).shift == -4
    assert NOTHING > 1e9
