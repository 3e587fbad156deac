"""How well a score tells pairs that are the same from others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Labels = NDArray[np.bool_]

SHARES = (0.01, 0.05)


@dataclass(frozen=True, slots=True)
class Measured:
    """`auc`: how often a pair that is the same scores above one that isn't, ties counted half.
    `served_at`: by share f, the share of the same pairs whose score is above the cut that a share f
    of the others, and no more, is above too.
    """

    auc: float
    served_at: dict[float, float]


def measure(scores: "Scores", same: "Labels") -> Measured:
    """Higher scores mean the same. `ValueError` unless there are pairs of both labels."""
    import numpy as np  # noqa: PLC0415

    served, others = scores[same], np.sort(scores[~same])
    if not len(served) or not len(others):
        raise ValueError("pairs of both labels are needed")
    below = np.searchsorted(others, served, side="left")
    level = np.searchsorted(others, served, side="right")
    auc = float((below + level).mean() / (2 * len(others)))
    cuts = {f: others[len(others) - 1 - int(f * len(others))] for f in SHARES}
    return Measured(auc, {f: float((served > cut).mean()) for f, cut in cuts.items()})
