"""Fits how much the candidates around the best one count, on a stream of `clinc150_train`.

    STEPWELL_TEST_DATA=… python -m tests.bench.cache.around

Each request meets a random three quarters of those before it. Prints the numbers that stand in
`cache/neighbours.py`.
"""

import random

import numpy as np
from numpy.typing import NDArray

from cache.decision import Decision, shipped
from cache.neighbours import FEWEST, Near, around
from tests.bench.cache.natural import all_cores
from tests.bench.cache.traffic import CANDIDATES, Traffic, order_of, traffic

SOURCE = "clinc150_train"
KEPT = 0.75
RIDGE = 1e-3
STEPS = 50

Floats = NDArray[np.float64]


def rows(of: Traffic, decision: Decision, seed: int) -> tuple[Floats, Floats]:
    """1, the best score, the share that agrees and the lead; and whether the best was right."""
    rng = random.Random(seed)
    stored = np.zeros(len(of.texts), np.bool_)
    found, right = [], []
    for new in order_of(len(of.texts), seed):
        places = np.flatnonzero(stored[of.nearest[new]])[:CANDIDATES]
        ids = [int(of.nearest[new, place]) for place in places]
        candidates = [
            Near(of.score(decision, new, n, float(of.cosines[new, place])), int(of.labels[n]))
            for n, place in zip(ids, places, strict=True)
        ]
        stored[new] = rng.random() < KEPT
        if len(candidates) < FEWEST:
            continue
        best = max(range(len(candidates)), key=lambda n: candidates[n].score)
        share, lead = around(candidates, best, range(len(candidates)))
        found.append([1.0, candidates[best].score, share, lead])
        right.append(float(of.labels[ids[best]] == of.labels[new]))
    return np.array(found), np.array(right)


def logistic(x: Floats, y: Floats) -> Floats:
    """Weights by Newton's method, with a small ridge."""
    found = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ found, -30, 30)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(x.shape[1])
        found = found + np.linalg.solve(curvature, x.T @ (y - p) - RIDGE * found)
    return np.asarray(found)


def main() -> None:
    of = traffic(all_cores(), [SOURCE])
    x, y = rows(of, shipped(), 1)
    intercept, slope, share, lead = logistic(x, y).round(3)
    print(f"INTERCEPT {intercept} SLOPE {slope} SHARE {share} LEAD {lead} of {len(y):,}")  # noqa: T201


if __name__ == "__main__":
    main()
