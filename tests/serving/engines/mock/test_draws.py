from statistics import mean, stdev

from hypothesis import given
from hypothesis import strategies as st

from serving.engines.mock.draws import Draws, derive


def test_known_numbers_never_change() -> None:
    """Other processes, platforms and versions must draw the same."""
    draws = Draws(derive(b"key", "label", 1))
    assert [round(draws.uniform(), 6) for _ in range(3)] == [0.293853, 0.848399, 0.021544]


def test_labels_are_told_apart_by_borders_and_order() -> None:
    keys = {derive(b"k", *labels) for labels in [("a", "b"), ("ab",), ("b", "a"), ("a", "b", "")]}
    assert len(keys) == 4


@given(st.lists(st.integers(0, 30), max_size=6))
def test_many_at_once_are_the_same_as_one_by_one(sizes: list[int]) -> None:
    one, many = Draws(b"k"), Draws(b"k")
    for size in sizes:
        assert many.uniforms(size) == [one.uniform() for _ in range(size)]
    assert many.uniform() == one.uniform()


def test_moments() -> None:
    draws = Draws(b"moments")
    uniform = draws.uniforms(20_000)
    assert abs(mean(uniform) - 0.5) < 0.01
    assert min(uniform) > 0
    assert max(uniform) < 1
    normal = [draws.normal() for _ in range(20_000)]
    assert abs(mean(normal)) < 0.03
    assert abs(stdev(normal) - 1) < 0.03


@given(st.integers(-50, 50), st.integers(0, 100), st.binary(max_size=16))
def test_between_stays_within(low: int, span: int, key: bytes) -> None:
    draws = Draws(key)
    assert all(low <= draws.between(low, low + span) <= low + span for _ in range(20))


def test_between_and_pick_reach_every_item() -> None:
    draws = Draws(b"reach")
    assert {draws.between(1, 6) for _ in range(200)} == {1, 2, 3, 4, 5, 6}
    assert {draws.pick("abc") for _ in range(100)} == set("abc")


def test_sample_takes_each_item_once() -> None:
    assert sorted(Draws(b"s").sample(range(10), 99)) == list(range(10))
    assert len(Draws(b"s").sample(range(10), 3)) == 3
