"""Streams of banking77 through the cache's decision, beside cuts of plain cosine.

    STEPWELL_TEST_DATA=… python -m tests.bench.cache.streams [--orders 20] [--weights FILE]

Every request of train and test once, in random orders; a hit is wrong where the label of the stored
request is another. Labels stand for answers. A miss shows whether the best candidate would have
been right; of hits, one in twenty is checked. `--weights`: of a decision fitted without banking77
(`python -m tests.bench.cache.fit --without banking77 --write FILE`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from cache.decision import WEIGHTS, Decision
from tests.bench.cache.natural import all_cores
from tests.bench.cache.traffic import Outcome, Stream, Traffic, by_cosine, traffic

FILES = ("banking77_train", "banking77_test")
DELTA = 0.02
HINDSIGHT = np.arange(0.90, 0.9851, 0.005)
CUTS = (0.92, 0.97)


def line(name: str, of: Sequence[Outcome]) -> str:
    hit, false = ([each.hit_rate for each in of], [each.false_hit_rate for each in of])
    kept = sum(rate <= DELTA for rate in false)
    return (
        f"{name:34} hits {np.mean(hit):6.1%} ({min(hit):.1%} to {max(hit):.1%})"
        f"  wrong {np.mean(false):6.2%} (at most {max(false):.2%})"
        f"  within {DELTA:.0%}: {kept} of {len(of)}"
    )


def hindsight(of: Traffic, orders: int) -> tuple[float, list[Outcome]]:
    """The cut that would have served most, with a mean share of wrong hits within `DELTA`."""
    fits = (0.0, 1.0, [by_cosine(of, seed, 1.0) for seed in range(orders)])
    for cut in HINDSIGHT:
        found = [by_cosine(of, seed, float(cut)) for seed in range(orders)]
        hits = float(np.mean([each.hit_rate for each in found]))
        if np.mean([each.false_hit_rate for each in found]) <= DELTA and hits > fits[0]:
            fits = (hits, float(cut), found)
    return fits[1], fits[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    asked = parser.parse_args()
    decision = Decision(orjson.loads(asked.weights.read_bytes()))
    of = traffic(all_cores(), FILES)
    seeds = range(asked.orders)
    rows = [(f"cosine {cut}", [by_cosine(of, seed, cut) for seed in seeds]) for cut in CUTS]
    cut, best = hindsight(of, asked.orders)
    rows.append((f"cosine {cut:.3f}, in hindsight", best))
    for name, together in (
        ("decision, each on its own", False),
        ("decision, with neighbours", True),
    ):
        rows.append(
            (name, [Stream(of, decision, s, DELTA, together=together).run() for s in seeds])
        )
    print(f"{len(of.texts):,} requests, {asked.orders} orders")  # noqa: T201
    for name, found in rows:
        print(line(name, found))  # noqa: T201


if __name__ == "__main__":
    main()
