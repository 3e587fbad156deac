from statistics import mean

import pytest

from serving.engines.mock.draws import Draws, derive
from serving.engines.mock.logprobs import mean_logprob, of_tokens

TOKENS = [" a", "b", "c", " the", "."] * 8


def auc(signal: float, pairs: int = 4_000) -> float:
    """How often a right answer's mean logprob exceeds a wrong one's."""
    wins = 0
    for i in range(pairs):
        right = mean_logprob(Draws(derive(b"r", i)), right=True, signal=signal)
        wrong = mean_logprob(Draws(derive(b"w", i)), right=False, signal=signal)
        wins += right > wrong
    return wins / pairs


@pytest.mark.parametrize("signal", [0.0, 0.3, 0.7, 0.95, 1.0])
def test_signal_is_twice_the_auc_less_one(signal: float) -> None:
    assert abs(auc(signal) - min((1 + signal) / 2, 0.9995)) < 0.02


def test_token_logprobs_have_exactly_the_answers_mean() -> None:
    for i in range(50):
        expected = mean_logprob(Draws(bytes([i])), right=bool(i % 2), signal=0.7)
        found = of_tokens(TOKENS, Draws(bytes([i])), right=bool(i % 2), signal=0.7)
        assert [t.token for t in found] == TOKENS
        assert all(t.logprob <= 0 for t in found)
        assert abs(mean(t.logprob for t in found) - expected) < 1e-5


def test_lengths_at_the_edge() -> None:
    assert of_tokens([], Draws(b"k"), right=True, signal=0.7) == ()
    assert len(of_tokens(["x"], Draws(b"k"), right=True, signal=0.7)) == 1


def test_alternatives_are_ordered_distinct_and_at_most_as_many_as_asked() -> None:
    found = of_tokens(TOKENS, Draws(b"k"), right=True, signal=0.7, top=5)
    for token in found:
        assert len(token.top) == 5
        assert len({t.token for t in token.top}) == 5
        assert [t.logprob for t in token.top] == sorted(
            (t.logprob for t in token.top), reverse=True
        )
        assert all(t.logprob <= 0 for t in token.top)
    assert sum(t.token in {a.token for a in t.top} for t in found) > len(found) * 0.9
    assert {len(t.top) for t in of_tokens(TOKENS, Draws(b"k"), right=True, signal=0.7, top=20)} == {
        20
    }
    assert {t.top for t in of_tokens(TOKENS, Draws(b"k"), right=True, signal=0.7)} == {()}
