"""How often hits are wrong, as far as the checked ones tell."""

import math
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Rate:
    """`wrong` of `checked`: `estimate` is their quotient, `low` and `high` are the bounds of
    Wilson's 95% interval (Wilson 1927), which holds for few checks and for none wrong, too. Without
    a check nothing is known: from 0 to 1.
    """

    checked: int
    wrong: int
    estimate: float
    low: float
    high: float


def rate(wrong: int, checked: int) -> Rate:
    if not checked:
        return Rate(0, 0, 0.0, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share = wrong / checked
    middle = share + z * z / (2 * checked)
    width = z * math.sqrt(share * (1 - share) / checked + z * z / (4 * checked * checked))
    scale = 1 + z * z / checked
    low = 0.0 if not wrong else (middle - width) / scale
    high = 1.0 if wrong == checked else (middle + width) / scale
    return Rate(checked, wrong, share, low, high)
