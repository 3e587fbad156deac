"""Vectors that lie as sentences' do: around topics, the topics in a space of few dimensions."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
else:
    Vectors = Any

TOPIC_SIZE = 30
SPREAD = 0.7
REPHRASED = 0.5
INNER_DIMENSIONS = 24


def clustered(count: int, dimensions: int, rng: np.random.Generator) -> Vectors:
    """`count` vectors of length 1."""
    basis = rng.standard_normal((INNER_DIMENSIONS, dimensions))
    topics = rng.standard_normal((max(count // TOPIC_SIZE, 1), INNER_DIMENSIONS)) @ basis
    return near(unit(topics)[rng.integers(len(topics), size=count)], rng, SPREAD)


def near(vectors: Vectors, rng: np.random.Generator, spread: float = REPHRASED) -> Vectors:
    """One vector beside each, as that of a rephrased question."""
    noise = rng.standard_normal(vectors.shape) * spread / np.sqrt(vectors.shape[1])
    return unit(vectors + noise)


def unit(vectors: "NDArray[Any]") -> Vectors:
    """The rows, each with length 1."""
    rows: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return rows


def recall(found: list[list[int]], vectors: Vectors, queries: Vectors, most: int) -> float:
    """The share of the true nearest `most` that were found. Keys are row numbers."""
    right = 0
    for query, keys in zip(queries, found, strict=True):
        true = np.argsort(-(vectors @ query), kind="stable")[:most]
        right += len(set(keys) & set(true.tolist()))
    return right / (most * len(queries))
