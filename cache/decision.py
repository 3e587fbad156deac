"""Whether the answer to a stored question serves a new one: a probability, and what it comes from.

Up to `gate[0]` the cosine decides alone: such pairs are served nowhere, and there words tell less
than it does. From there on, and in full from `gate[1]`, small trees over the guards' findings move
the logit. The cosine can only raise it and a difference only lower it: the fit is held to that. The
weights are data; `tests/bench/cache/fit.py` made them, on pairs that no measure is taken on.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from cache.features import COSINE, FEATURES, LIKENESS, features
from cache.guards.reading import Reading, read
from cache.trees import add_effects, tree

WEIGHTS = Path(__file__).parent / "decision.json"
MAX_LOGIT = 30.0
TOO_LONG = "too long to compare"


@dataclass(frozen=True, slots=True)
class Reason:
    """What one feature added to the logit, beside what it does on average."""

    feature: str
    effect: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """`probability` that the stored answer serves, `score` its logit. `reasons`: the largest
    effects first, none where the texts are the same.
    """

    probability: float
    score: float
    cosine: float
    reasons: tuple[Reason, ...] = ()

    def explain(self, most: int = 4) -> str:
        """A few words for the trace. They name features, and no word of either text."""
        if not self.reasons:
            return "the same text"
        alike = (COSINE, *LIKENESS)
        against = [r for r in self.reasons if r.effect < -0.05 and r.feature not in alike][:most]
        named = ", ".join(f"{r.feature} {r.effect:.1f}" for r in against) or "nothing against it"
        return f"probability {self.probability:.3f}, cosine {self.cosine:.3f}; {named}"


class Decision:
    """Pure; some 200 µs for two texts that are read already."""

    def __init__(self, weights: dict[str, Any]) -> None:
        """`weights` as in the shipped file. `ValueError` where they are for other features."""
        if tuple(weights["features"]) != FEATURES:
            raise ValueError("the weights are for other features")
        self._slope = float(weights["slope"])
        self._intercept = float(weights["intercept"])
        self._none, self._whole = (float(at) for at in weights["gate"])
        self._trees = [tree(each) for each in weights["trees"]]

    def judge_texts(self, cosine: float, a: str, b: str) -> Judgement:
        return self.judge(cosine, read(a), read(b))

    def judge(self, cosine: float, a: Reading, b: Reading) -> Judgement:
        """Symmetric in `a` and `b`."""
        if a.exact == b.exact:
            return Judgement(1.0, MAX_LOGIT, cosine)
        if not (a.whole and b.whole):
            return Judgement(0.0, -MAX_LOGIT, cosine, (Reason(TOO_LONG, -MAX_LOGIT),))
        alone = self._slope * cosine
        effects = [0.0] * len(FEATURES)
        base = self._intercept
        if part := gate(cosine, self._none, self._whole):
            base += part * add_effects(self._trees, features(cosine, a, b), effects)
            effects = [part * effect for effect in effects]
        effects[FEATURES.index(COSINE)] += alone
        score = max(-MAX_LOGIT, min(MAX_LOGIT, base + sum(effects)))
        named = zip(FEATURES, effects, strict=True)
        reasons = sorted((Reason(n, e) for n, e in named if e), key=lambda r: -abs(r.effect))
        return Judgement(1 / (1 + math.exp(-score)), score, cosine, tuple(reasons))


def gate(cosine: float, none: float, whole: float) -> float:
    """0 up to `none`, 1 from `whole` on, smooth between."""
    part = min(1.0, max(0.0, (cosine - none) / (whole - none)))
    return part * part * (3 - 2 * part)


@lru_cache(1)
def shipped() -> Decision:
    """The decision with the weights that come with Stepwell."""
    return Decision(orjson.loads(WEIGHTS.read_bytes()))
