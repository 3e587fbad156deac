"""Simulated token logprobs, whose mean tells right answers from wrong ones as well as configured.

An answer's confidence is `c = e + d/2` where it is right and `c = e - d/2` where it is wrong, with
`e` standard normal, drawn per tier and request. The area under the ROC curve of such a score is
`Phi(d / sqrt(2))`, so `d = sqrt(2) * Phi^-1(AUC)` with `AUC = (1 + signal) / 2`, at most MAX_AUC:
signal 0 says nothing, signal 0.7 gives an AUC of 0.85, signal 1 one of 0.9995. The geometric mean
of the tokens' probabilities is `p = logistic(OFFSET + c)` and the answer's mean logprob `ln(p)`
exactly; its tokens share it in proportion to exponential draws, so most are surer than the mean
and a few much less sure.
"""

import math
from functools import lru_cache
from statistics import NormalDist

from serving.engines.mock.draws import Draws
from serving.wire.completion import TokenLogprob, TopLogprob

OFFSET = 0.5
MAX_AUC = 0.9995

_OTHER_TOKENS = (
    *(" the", " a", " of", " to", " and", " in", " is", " it", " for", " not", ".", ",", "\n"),
    *(" this", " that", " with", " on", " as", " be", " or", " at", " by", " an", " we"),
)


@lru_cache(maxsize=64)
def separation(signal: float) -> float:
    """`d`: the distance between the mean confidence of right and of wrong answers."""
    auc = min((1 + signal) / 2, MAX_AUC)
    return math.sqrt(2) * NormalDist().inv_cdf(auc)


def mean_logprob(draws: Draws, *, right: bool, signal: float) -> float:
    half = separation(signal) / 2
    confidence = draws.normal() + (half if right else -half)
    return -math.log1p(math.exp(-(OFFSET + confidence)))


def of_tokens(
    tokens: list[str], draws: Draws, *, right: bool, signal: float, top: int = 0
) -> tuple[TokenLogprob, ...]:
    """One for each token; with `top` > 0 the likeliest tokens at each place, the chosen among
    them where it is likely enough.
    """
    mean = mean_logprob(draws, right=right, signal=signal)
    weights = [-math.log(u) for u in draws.uniforms(len(tokens))]
    scale = mean * len(tokens) / sum(weights) if tokens else 0.0
    logprobs = [round(w * scale, 6) for w in weights]
    if not top:
        return tuple(map(TokenLogprob, tokens, logprobs))
    return tuple(
        TokenLogprob(token, logprob, _top(token, logprob, draws, top))
        for token, logprob in zip(tokens, logprobs, strict=True)
    )


def _top(token: str, logprob: float, draws: Draws, top: int) -> tuple[TopLogprob, ...]:
    """The tokens beside the chosen one get half, a quarter, … of the probability left over."""
    start = draws.between(0, len(_OTHER_TOKENS) - 1)
    others = [t for t in (*_OTHER_TOKENS[start:], *_OTHER_TOKENS[:start]) if t != token][:top]
    left = max(1e-9, -math.expm1(logprob))
    found = [TopLogprob(token, logprob)]
    found += [TopLogprob(t, round(math.log(left * 0.5**i), 6)) for i, t in enumerate(others, 1)]
    found.sort(key=lambda t: -t.logprob)
    return tuple(found[:top])
