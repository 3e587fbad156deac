"""Gradient-boosted trees with signs, small enough to be read: what the decision is fitted with.

Newton boosting of a logistic loss (Chen and Guestrin, XGBoost, 2016, equations 6 and 7), best leaf
first, on features cut into bins. A feature with a sign may split only where the side of its higher
values moves that way, and no leaf beyond a split may pass the middle between its sides, so that the
whole is monotone in it.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cache.trees import Node, Tree

BINS = 48
LEAVES = 6
RATE = 0.08
RIDGE = 5.0
LEAST_ROWS = 60
SHARE_OF_FEATURES = 0.6
DIGITS = 4

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Slope = Callable[[Floats], tuple[Floats, Floats]]
"""From the sum of the trees at each row to the loss's first and second derivatives there."""


@dataclass(slots=True)
class _Split:
    gain: float
    feature: int
    bin: int
    less: float
    more: float


@dataclass(frozen=True, slots=True)
class _Round:
    """What one tree is grown on."""

    binned: NDArray[np.uint8]
    edges: list[Floats]
    signs: Sequence[int]
    first: Floats
    second: Floats
    chosen: Rows


@dataclass(slots=True)
class _Open:
    """A node that may still be split: its rows, and what its value may be."""

    at: int
    rows: Rows
    low: float
    high: float
    split: _Split | None = field(default=None)


def boost(values: Floats, signs: Sequence[int], slope: Slope, trees: int, seed: int) -> list[Tree]:
    """Deterministic. `signs`: 1 where a feature may only raise, -1 where only lower, else 0."""
    edges = [_edges(column) for column in values.T]
    binned = np.column_stack(
        [np.searchsorted(e, column) for e, column in zip(edges, values.T, strict=True)]
    ).astype(np.uint8)
    rng = np.random.default_rng(seed)
    total = np.zeros(len(values))
    made: list[Tree] = []
    for _ in range(trees):
        first, second = slope(total)
        count = round(SHARE_OF_FEATURES * values.shape[1])
        chosen = np.sort(rng.permutation(values.shape[1])[:count])
        grown, leaf_of = _grow(_Round(binned, edges, signs, first, second, chosen))
        total += np.array([node.value for node in grown])[leaf_of]
        made.append(grown)
    return made


def _edges(column: Floats) -> Floats:
    """Between distinct values, as many on each side of all of them as may be."""
    cuts = np.unique(np.quantile(column, np.linspace(0, 1, BINS)).round(DIGITS))
    if len(cuts) < 4:
        cuts = np.unique(column.round(DIGITS))[: BINS - 1]
    return np.asarray(((cuts[:-1] + cuts[1:]) / 2).round(DIGITS + 1))


def _grow(on: _Round) -> tuple[Tree, Rows]:
    """One tree, and the leaf of each row."""
    everything = np.arange(len(on.binned))
    nodes = [Node(-1, 0.0, -1, -1, _value(on.first.sum(), on.second.sum()))]
    leaf_of = np.zeros(len(on.binned), np.int64)
    waiting: list[tuple[float, int, _Open]] = []

    def open_node(node: _Open) -> None:
        node.split = _best(on, node)
        if node.split is not None:
            heapq.heappush(waiting, (-node.split.gain, node.at, node))

    open_node(_Open(0, everything, -np.inf, np.inf))
    leaves = 1
    while waiting and leaves < LEAVES:
        node = heapq.heappop(waiting)[2]
        split = node.split
        assert split is not None
        less, more = len(nodes), len(nodes) + 1
        edge = float(on.edges[split.feature][split.bin])
        nodes[node.at] = Node(split.feature, edge, less, more, nodes[node.at].value)
        nodes += [Node(-1, 0.0, -1, -1, split.less), Node(-1, 0.0, -1, -1, split.more)]
        below = on.binned[node.rows, split.feature] <= split.bin
        sides = (node.rows[below], node.rows[~below])
        leaf_of[sides[0]], leaf_of[sides[1]] = less, more
        for side, at, bounds in zip(
            sides, (less, more), _bounds(node, split, on.signs), strict=True
        ):
            open_node(_Open(at, side, *bounds))
        leaves += 1
    return tuple(nodes), leaf_of


def _bounds(
    node: _Open, split: _Split, signs: Sequence[int]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """What the values below each side of a split may be."""
    middle = (split.less + split.more) / 2
    if signs[split.feature] > 0:
        return (node.low, middle), (middle, node.high)
    if signs[split.feature] < 0:
        return (middle, node.high), (node.low, middle)
    return (node.low, node.high), (node.low, node.high)


def _best(on: _Round, node: _Open) -> _Split | None:
    rows = node.rows
    own, own_second = on.first[rows], on.second[rows]
    whole = _gain(own.sum(), own_second.sum())
    best: _Split | None = None
    for feature in on.chosen:
        at = on.binned[rows, feature]
        count = np.bincount(at, minlength=BINS).cumsum()[:-1]
        g = np.bincount(at, own, minlength=BINS).cumsum()[:-1]
        h = np.bincount(at, own_second, minlength=BINS).cumsum()[:-1]
        rest_g, rest_h = own.sum() - g, own_second.sum() - h
        less = np.clip(_values(g, h), node.low, node.high)
        more = np.clip(_values(rest_g, rest_h), node.low, node.high)
        gain = _gain(g, h) + _gain(rest_g, rest_h) - whole
        fits = (count >= LEAST_ROWS) & (len(rows) - count >= LEAST_ROWS)
        if sign := on.signs[feature]:
            fits &= sign * (more - less) >= 0
        gain = np.where(fits, gain, -np.inf)
        index = int(np.argmax(gain))
        if gain[index] > (best.gain if best else 1e-9):
            best = _Split(
                float(gain[index]), int(feature), index, float(less[index]), float(more[index])
            )
    return best


def _gain(g: Floats, h: Floats) -> Floats:
    return np.asarray(g * g / (h + RIDGE))


def _values(g: Floats, h: Floats) -> Floats:
    return np.asarray((-RATE * g / (h + RIDGE)).round(DIGITS))


def _value(g: float, h: float) -> float:
    return round(float(-RATE * g / (h + RIDGE)), DIGITS)
