"""AUC and what is served at a share of others, as they are defined."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.measures import SHARES, measure

np = pytest.importorskip("numpy", reason="the extra `cache` is not installed")


def test_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.4, 0.85, 0.3, 0.2])
    same = np.array([True, True, True, False, False, False])
    found = measure(scores, same)
    assert found.auc == pytest.approx((3 + 2 + 2) / 9)
    assert found.served_at == {0.01: pytest.approx(1 / 3), 0.05: pytest.approx(1 / 3)}


def test_a_share_of_the_others_may_pass() -> None:
    others = np.linspace(0, 1, 100)
    served = np.array([0.985, 0.995, 1.5])
    scores = np.concatenate([others, served])
    same = np.concatenate([np.zeros(100, bool), np.ones(3, bool)])
    found = measure(scores, same)
    assert found.served_at[0.01] == pytest.approx(2 / 3)
    assert found.served_at[0.05] == pytest.approx(1)


def test_one_label_alone_is_no_measure() -> None:
    with pytest.raises(ValueError, match="both labels"):
        measure(np.array([1.0, 2.0]), np.array([True, True]))


pair = st.tuples(st.integers(0, 8), st.booleans())


@given(st.lists(pair, min_size=2, max_size=60).filter(lambda p: 0 < sum(s for _, s in p) < len(p)))
def test_it_is_what_counting_gives(pairs: list[tuple[int, bool]]) -> None:
    found = measure(np.array([float(s) for s, _ in pairs]), np.array([y for _, y in pairs]))
    served = [s for s, y in pairs if y]
    others = [s for s, y in pairs if not y]
    wins = sum((s > o) + 0.5 * (s == o) for s in served for o in others)
    assert found.auc == pytest.approx(wins / (len(served) * len(others)))
    for share in SHARES:
        cut = min(c for c in others if sum(o > c for o in others) <= share * len(others))
        expected = sum(s > cut for s in served) / len(served)
        assert found.served_at[share] == pytest.approx(expected)
