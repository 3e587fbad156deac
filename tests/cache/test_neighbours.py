"""What the stored questions around a new one tell together."""

from hypothesis import given
from hypothesis import strategies as st

from cache.neighbours import MOST, Near, choose

scores = st.floats(-5, 8)
answers = st.sampled_from([None, "a", "b", "c"])
candidates = st.lists(st.builds(Near, scores, answers), min_size=1, max_size=6)


def test_of_none_none_is_chosen() -> None:
    assert choose([]) is None


def test_where_nothing_is_known_of_the_others_the_best_stands_alone() -> None:
    found = choose([Near(2.0), Near(3.0), Near(2.9, "a")])
    assert found is not None
    assert (found.index, found.score, found.moved) == (1, 3.0, 0.0)


def test_others_that_agree_raise_and_others_that_do_not_lower() -> None:
    best = Near(3.0, "a")
    agree = choose([best, Near(2.8, "a"), Near(2.7, "a")])
    apart = choose([best, Near(2.8, "b"), Near(2.7, "b")])
    assert agree is not None
    assert apart is not None
    assert apart.score < 3.0 < agree.score
    assert {agree.index, apart.index} == {0}


def test_an_answer_that_says_something_else_counts_less_the_farther_it_is() -> None:
    found = [choose([Near(3.0, "a"), Near(other, "b")]) for other in (2.9, 1.5, -1.0)]
    moved = [each.score for each in found if each is not None]
    assert moved == sorted(moved)
    assert moved[0] < moved[-1]


@given(candidates)
def test_it_moves_by_no_more_than_it_may(given_ones: list[Near]) -> None:
    found = choose(given_ones)
    assert found is not None
    assert abs(found.moved) <= MOST
    assert found.score == given_ones[found.index].score + found.moved
    assert given_ones[found.index].score == max(each.score for each in given_ones)


@given(candidates)
def test_the_order_of_candidates_does_not_matter(given_ones: list[Near]) -> None:
    one, other = choose(given_ones), choose(given_ones[::-1])
    assert one is not None
    assert other is not None
    if sum(each.score == given_ones[one.index].score for each in given_ones) == 1:
        assert abs(one.score - other.score) < 1e-9
