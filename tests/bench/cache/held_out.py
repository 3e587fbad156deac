"""How the shipped decision does on pairs it was not fitted on, beside plain cosine.

STEPWELL_TEST_DATA=… python -m tests.bench.cache.held_out
"""

import numpy as np

from cache.decision import shipped
from cache.embedder.base import Model
from cache.measures import SHARES, measure
from tests.bench.cache.natural import Pair, all_cores, embed, natural_pairs
from tests.cache.adversarial.generate import pairs as adversarial_pairs

EACH = 3_000


def held_out(model: Model) -> list[Pair]:
    found = natural_pairs(model, "banking77_test", 3, EACH)
    found += natural_pairs(model, "clinc150_val", 4, EACH)
    for pair in adversarial_pairs("score"):
        drawn = "written" if pair.source == "written" else "templates"
        found.append(Pair(pair.a, pair.b, pair.same, f"adversarial {drawn}"))
        found.append(Pair(pair.a, pair.b, pair.same, "adversarial, all"))
    return found


def main() -> None:
    model = all_cores()
    pairs = held_out(model)
    texts = sorted({text for pair in pairs for text in (pair.a, pair.b)})
    vector = dict(zip(texts, embed(model, texts), strict=True))
    cosines = np.array([float(vector[p.a] @ vector[p.b]) for p in pairs])
    decide = shipped()
    scores = np.array(
        [decide.judge_texts(float(c), p.a, p.b).score for c, p in zip(cosines, pairs, strict=True)]
    )
    same = np.array([p.same for p in pairs])
    groups = np.array([p.group for p in pairs])
    for group in sorted(set(groups)):
        rows = groups == group
        print(f"{group} ({rows.sum():,} pairs)")  # noqa: T201
        for name, of in (("decision", scores), ("cosine", cosines)):
            found = measure(of[rows], same[rows])
            served = "  ".join(f"at {f:.0%} {found.served_at[f]:.3f}" for f in SHARES)
            print(f"  {name:9} AUC {found.auc:.3f}  {served}")  # noqa: T201


if __name__ == "__main__":
    main()
