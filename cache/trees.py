"""A sum of small decision trees, as data, that says what each feature did to it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    """Goes on at `less` where the feature is below or at `at`, else at `more`; a leaf has -1 as its
    feature. `value`: of the leaf, or what is expected before this node's question is asked.
    """

    feature: int
    at: float
    less: int
    more: int
    value: float


Tree = tuple[Node, ...]


def tree(of: Sequence[Sequence[float]]) -> Tree:
    """From `[feature, at, less, more, value]` for each node, or `[value]` for a leaf."""
    return tuple(_node(each) for each in of)


def _node(of: Sequence[float]) -> Node:
    if len(of) == 1:
        return Node(-1, 0.0, -1, -1, float(of[0]))
    feature, at, less, more, value = of
    return Node(int(feature), float(at), int(less), int(more), float(value))


def as_data(of: Tree) -> list[list[Any]]:
    return [[n.value] if n.feature < 0 else [n.feature, n.at, n.less, n.more, n.value] for n in of]


def add_effects(trees: Sequence[Tree], row: Sequence[float], effects: list[float]) -> float:
    """The sum of the trees' first values, what they say before anything is asked. To `effects`, one
    for each feature, is added what each did: together they are the sum of the leaves reached.
    """
    base = 0.0
    for each in trees:
        node = each[0]
        value = node.value
        base += value
        while node.feature >= 0:
            following = each[node.less if row[node.feature] <= node.at else node.more]
            effects[node.feature] += following.value - value
            node, value = following, following.value
    return base
