"""How large a value inside a BERT can be, from its weights alone: no text can exceed it.

Layer normalisation makes n with mean 0 and squares that sum up to H, the number of its values, so
that no |n_k| exceeds sqrt(H - 1), and by the inequality of Cauchy and Schwarz no sum of n_k * w_k
exceeds sqrt(H) * |w|. Its output is gain * n + shift.
"""

from typing import TYPE_CHECKING, Any

from cache.embedder.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float32]
else:
    Values = Any

Range = tuple[float, float]

GELU_LEAST = -0.1701
"""The least value of x * Phi(x), at x = -0.7518."""


def normalised(weights: Weights, norm: str) -> Range:
    """Of what layer normalisation gives."""
    gain, shift = abs(weights[f"{norm}.weight"]), weights[f"{norm}.bias"]
    most = (len(gain) - 1) ** 0.5 * gain
    return float((shift - most).min()), float((shift + most).max())


def attended(weights: Weights, norm: str, values: str) -> Range:
    """Of what attention gives: each is a weighted mean of values, and none exceeds them."""
    least, most = _product(weights, norm, values)
    return float(least.min()), float(most.max())


def gelu_of(weights: Weights, norm: str, dense: str) -> Range:
    """Of what GELU makes of a product; it never exceeds its positive argument."""
    _, most = _product(weights, norm, dense)
    return GELU_LEAST, max(float(most.max()), -GELU_LEAST)


def _product(weights: Weights, norm: str, dense: str) -> tuple[Values, Values]:
    """Of each column of a dense layer that reads what `norm` gives."""
    import numpy as np  # noqa: PLC0415

    weight = weights[f"{dense}.weight"]  # columns x H
    middle = weight @ weights[f"{norm}.bias"] + weights[f"{dense}.bias"]
    reach = weight.shape[1] ** 0.5 * np.linalg.norm(weight * weights[f"{norm}.weight"], axis=1)
    return middle - reach, middle + reach
