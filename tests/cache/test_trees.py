"""Trees as data, and what each feature did."""

import pytest

from cache.trees import add_effects, as_data, tree

DATA = [[0, 0.5, 1, 2, 0.1], [-1.0], [1, 2.0, 3, 4, 0.4], [0.3], [0.9]]


@pytest.mark.parametrize(
    ("row", "leaf", "effects"),
    [
        ([0.5, 9.0], -1.0, [-1.1, 0.0]),
        ([0.6, 2.0], 0.3, [0.3, -0.1]),
        ([0.6, 2.1], 0.9, [0.3, 0.5]),
    ],
)
def test_effects_and_base_add_up_to_the_leaf(
    row: list[float], leaf: float, effects: list[float]
) -> None:
    found = [0.0, 0.0]
    base = add_effects([tree(DATA)], row, found)
    assert found == pytest.approx(effects)
    assert base + sum(found) == pytest.approx(leaf)


def test_what_is_read_can_be_written() -> None:
    assert as_data(tree(DATA)) == DATA


def test_trees_add_up() -> None:
    found = [0.0, 0.0]
    base = add_effects([tree(DATA), tree(DATA)], [0.0, 0.0], found)
    assert base + sum(found) == pytest.approx(-2.0)
