"""Signals from token logprobs."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.signals import LOGPROB_FLOOR, PrefixSignals, of_choices, of_tokens
from serving.wire.completion import Choice, TokenLogprob

LOGPROBS = st.lists(st.floats(min_value=-15, max_value=0), max_size=60)
WINDOWS = st.integers(min_value=1, max_value=20)


def tokens(*values: float) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob("t", v) for v in values)


@given(LOGPROBS.filter(bool), WINDOWS)
def test_figures_match_their_definition(values: list[float], window: int) -> None:
    found = of_tokens(tokens(*values), window)
    assert found is not None
    size = min(window, len(values))
    means = [math.fsum(values[i : i + size]) / size for i in range(len(values) - size + 1)]
    assert found.tokens == len(values)
    assert found.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-9)
    assert found.min_window == pytest.approx(min(means), abs=1e-9)


@given(LOGPROBS, LOGPROBS, WINDOWS)
def test_pieces_amount_to_the_whole(first: list[float], then: list[float], window: int) -> None:
    so_far = PrefixSignals(window)
    so_far.add(tokens(*first))
    so_far.add(tokens(*then))
    assert so_far.signals == of_tokens(tokens(*first, *then), window)
    assert so_far.tokens == len(first) + len(then)


@given(LOGPROBS, WINDOWS)
def test_the_lowest_window_only_falls_once_it_is_full(values: list[float], window: int) -> None:
    so_far = PrefixSignals(window)
    lowest: list[float] = []
    for value in values:
        so_far.add(tokens(value))
        if so_far.tokens >= window and so_far.signals is not None:
            lowest.append(so_far.signals.min_window)
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(lowest))


def test_a_short_answer_is_its_own_window() -> None:
    found = of_tokens(tokens(-1.0, -3.0), window=8)
    assert found is not None
    assert (found.mean, found.min_window, found.tokens) == (-2.0, -2.0, 2)


def test_without_logprobs_there_are_no_signals() -> None:
    assert of_tokens(None, 8) is None
    assert of_tokens((), 8) is None
    assert PrefixSignals(8).signals is None
    assert of_choices((Choice(content="a"),), 8) is None


@pytest.mark.parametrize(
    ("given_value", "counted"),
    [
        (-9999.0, LOGPROB_FLOOR),
        (-math.inf, LOGPROB_FLOOR),
        (math.nan, LOGPROB_FLOOR),
        (1e-7, 0.0),
        (math.inf, 0.0),
    ],
)
def test_placeholders_and_noise_are_clamped(given_value: float, counted: float) -> None:
    found = of_tokens(tokens(given_value), 4)
    assert found is not None
    assert found.mean == counted


def test_the_worst_choice_decides_on_each_figure() -> None:
    steady = Choice(index=0, logprobs=tokens(-1.0, -1.0, -1.0, -1.0))
    spiky = Choice(index=1, logprobs=tokens(0.0, -3.0, 0.0, 0.0, 0.0, 0.0))
    silent = Choice(index=2, content="x")
    found = of_choices((steady, spiky, silent), window=1)
    assert found is not None
    assert (found.mean, found.min_window, found.tokens) == (-1.0, -3.0, 4)
