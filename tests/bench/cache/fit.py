"""Fits the cache's decision, the same way each time; some three minutes.

    STEPWELL_TEST_DATA=… python -m tests.bench.cache.fit [--without banking77] [--write FILE]

On the tuned half of the adversarial set and on pairs of `banking77_train` and `clinc150_train`,
drawn in four ways. Each draw has an intercept of its own, so that only the order within it counts;
one common slope and intercept then make a probability of the score, on what a cache would meet: the
nearest stored request of each new one.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cache.decision import WEIGHTS, gate
from cache.embedder.base import Model
from cache.features import FEATURES, SIGNS, features
from cache.guards.reading import read
from cache.trees import Tree, as_data
from tests.bench.cache.boost import boost
from tests.bench.cache.natural import Pair, all_cores, embed, natural_pairs
from tests.cache.adversarial.generate import pairs as adversarial_pairs

NATURAL = ("banking77_train", "clinc150_train")
EACH = 3_000
WEIGHTS_OF = {"by chance": 0.3, "hard": 0.3, "nearest": 2.0, "met": 2.0, "adversarial": 2.0}
"""Of each way of drawing pairs: most on what decides about hits."""

COSINE_SLOPE = 12.0
"""Of the logit below the gate, where the cosine is alone."""

GATE = (0.8, 0.95)
"""Below it nothing is ever served; words would only disturb the order there."""

TREES = 150
MOST_STEPS, LEVEL = 20, 1e-3
SEED = 7
DIGITS = 4

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Table:
    """One row for each pair; `groups` are numbers."""

    values: Floats
    same: Bools
    groups: NDArray[np.int64]
    names: list[str]

    @property
    def gates(self) -> Floats:
        return np.array([gate(cosine, *GATE) for cosine in self.values[:, 0]])


def table(model: Model, pairs: Sequence[Pair]) -> Table:
    texts = sorted({text for pair in pairs for text in (pair.a, pair.b)})
    vector = dict(zip(texts, embed(model, texts), strict=True))
    values = [features(float(vector[p.a] @ vector[p.b]), read(p.a), read(p.b)) for p in pairs]
    names, groups = np.unique([p.group for p in pairs], return_inverse=True)
    same = np.array([p.same for p in pairs])
    return Table(np.array(values), same, groups, [str(name) for name in names])


def tuned_on(model: Model, without: str) -> list[Pair]:
    found = [Pair(p.a, p.b, p.same, "adversarial") for p in adversarial_pairs("tune")]
    for seed, name in enumerate(NATURAL, start=1):
        if not name.startswith(without):
            found += natural_pairs(model, name, seed, EACH)
    return found


def importance(of: Table) -> Floats:
    """Of each row; both labels of a draw weigh the same. The mean is 1."""
    weights = np.zeros(len(of.same))
    for group, name in enumerate(of.names):
        whole = next(weight for way, weight in WEIGHTS_OF.items() if name.endswith(way))
        for label in (True, False):
            rows = (of.groups == group) & (of.same == label)
            weights[rows] = whole / rows.sum()
    return np.asarray(weights * len(weights) / weights.sum())


def fit(of: Table) -> list[Tree]:
    """Trees that, times the gate and on top of the cosine's part, order each draw best."""
    weights, gates = importance(of), of.gates
    inside = np.flatnonzero(gates > 0)
    cosine = COSINE_SLOPE * of.values[:, 0]
    levels = -np.bincount(of.groups, cosine) / np.bincount(of.groups)

    def slope(total: Floats) -> tuple[Floats, Floats]:
        scores = cosine.copy()
        scores[inside] += gates[inside] * total
        missing, curve = _at_levels(scores, of, weights, levels)
        part = gates[inside]
        return part * missing[inside], np.maximum(part**2 * curve[inside], 1e-4)

    signs = [SIGNS.get(name, 0) for name in FEATURES]
    return boost(of.values[inside], signs, slope, TREES, SEED)


def _at_levels(scores: Floats, of: Table, weights: Floats, levels: Floats) -> tuple[Floats, Floats]:
    """Weighted residuals and curvature of the logistic loss, after each draw's own intercept in
    `levels` was moved to where it is best.
    """
    for _ in range(MOST_STEPS):
        p = 1 / (1 + np.exp(-(scores + levels[of.groups])))
        missing, curve = weights * (p - of.same), weights * p * (1 - p)
        up = np.bincount(of.groups, missing, len(levels))
        step = np.clip(up / (np.bincount(of.groups, curve, len(levels)) + 1e-6), -2, 2)
        if np.abs(step).max() < LEVEL:
            break
        levels -= step
    return missing, curve


def summed(of: Table, trees: list[Tree]) -> Floats:
    """The uncalibrated score of each row."""
    total = np.zeros(len(of.same))
    for each in trees:
        total += _leaves(each, 0, of.values, np.ones(len(of.same), np.bool_))
    return np.asarray(COSINE_SLOPE * of.values[:, 0] + of.gates * total)


def _leaves(of: Tree, at: int, values: Floats, here: Bools) -> Floats:
    node = of[at]
    if node.feature < 0:
        return np.where(here, node.value, 0.0)
    below = values[:, node.feature] <= node.at
    less = _leaves(of, node.less, values, here & below)
    return np.asarray(less + _leaves(of, node.more, values, here & ~below))


def calibrate(scores: Floats, same: Bools) -> tuple[float, float]:
    """Slope and intercept from score to logit, by Newton's method with halved steps, on Platt's
    smoothed labels.
    """
    right, wrong = same.sum(), (~same).sum()
    target = np.where(same, (right + 1) / (right + 2), 1 / (wrong + 2))
    middle, width = scores.mean(), scores.std()
    x = np.column_stack([(scores - middle) / width, np.ones(len(scores))])

    def loss(of: Floats) -> float:
        z = x @ of
        return float((np.logaddexp(0, z) - target * z).sum())

    found = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ found))
        curvature = (x * (p * (1 - p))[:, None]).T @ x
        step = np.linalg.solve(curvature, x.T @ (target - p))
        while loss(found + step) > loss(found) and np.abs(step).max() > 1e-12:
            step = step / 2
        found = found + step
    slope, level = found
    return float(slope / width), float(level - slope * middle / width)


def weights_file(trees: list[Tree], slope: float, intercept: float, of: Table) -> dict[str, Any]:
    """`slope` and `intercept` go into the trees, so that the decision adds up and no more."""
    scaled = [
        [
            [*node[:-1], round(node[-1] * slope, DIGITS)]  # the value stands last
            for node in as_data(each)
        ]
        for each in trees
    ]
    counted = Counter(of.names[group] for group in of.groups)
    return {
        "fitted": {"by": "tests/bench/cache/fit.py", "pairs": dict(sorted(counted.items()))},
        "features": FEATURES,
        "slope": round(slope * COSINE_SLOPE, DIGITS),
        "intercept": round(intercept, DIGITS),
        "gate": GATE,
        "trees": scaled,
    }


def written(weights: dict[str, Any]) -> bytes:
    """JSON with one tree a line."""
    trees = b",\n".join(orjson.dumps(each) for each in weights["trees"])
    head = orjson.dumps({**weights, "trees": []}, option=orjson.OPT_INDENT_2)
    return head.replace(b'"trees": []', b'"trees": [\n' + trees + b"\n]") + b"\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", default="-", help="leave the files out that begin so")
    parser.add_argument("--write", type=Path, help="where to")
    asked = parser.parse_args()
    model = all_cores()
    training = table(model, tuned_on(model, asked.without))
    trees = fit(training)
    met = np.array([training.names[group].endswith("met") for group in training.groups])
    scores = summed(training, trees)
    slope, intercept = calibrate(scores[met], training.same[met])
    body = written(weights_file(trees, slope, intercept, training))
    if asked.write:
        asked.write.write_bytes(body)
    unchanged = WEIGHTS.exists() and WEIGHTS.read_bytes() == body
    print(len(body), "bytes;", "as shipped" if unchanged else "NOT as shipped")  # noqa: T201


if __name__ == "__main__":
    main()
