"""The decision on labelled pairs, beside plain cosine of the same embedder."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.decision import shipped
from cache.embedder.load import load_model
from cache.measures import Measured, measure
from serving.errors import ConfigError
from serving.wire.jsonl_file import NotAnObject, numbered, parse_object

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cache.embedder.base import Model

CHUNK = 256
TEXTS = ("a", "b")


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """`same`: the answer to one serves the other."""

    a: str
    b: str
    same: bool


@dataclass(frozen=True, slots=True)
class Evaluated:
    """`same`: how many of the `pairs` are."""

    pairs: int
    same: int
    decision: Measured
    cosine: Measured


def read_pairs(file: Path) -> list[LabelledPair]:
    """Of JSON Lines, plain or gzip. `ConfigError` names the line and the
    key at fault. Empty lines are passed over, other keys too.
    """
    try:
        return [_pair(f"{file}:{number}", line) for number, line in numbered(file)]
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error


def evaluate_pairs(pairs: Sequence[LabelledPair], source: str) -> Evaluated:
    """Blocks. `source` names the embedder. `ConfigError` where the pairs are all of one label, or
    the embedder is not to be had.
    """
    labels = [pair.same for pair in pairs]
    if not any(labels) or all(labels):
        raise ConfigError(f"pairs of both labels are needed; all of {len(labels)} are the same one")
    model = load_model(source, threads=len(os.sched_getaffinity(0)))
    import numpy as np  # noqa: PLC0415  after the model, which says what is missing

    cosines = cosines_of(pairs, model)
    decide = shipped()
    scores = np.array(
        [
            decide.judge_texts(float(cosine), pair.a, pair.b).score
            for pair, cosine in zip(pairs, cosines, strict=True)
        ]
    )
    same = np.array(labels)
    return Evaluated(len(labels), sum(labels), measure(scores, same), measure(cosines, same))


def cosines_of(pairs: Sequence[LabelledPair], model: "Model") -> "NDArray[np.float64]":
    """Each text is embedded once, those of like lengths together."""
    import numpy as np  # noqa: PLC0415

    texts = sorted({text for pair in pairs for text in (pair.a, pair.b)}, key=len)
    rows = {text: row for row, text in enumerate(texts)}
    chunks = [model.encode(chunk).vectors for chunk in _chunks(texts)]
    vectors = np.concatenate(chunks)
    first = vectors[[rows[pair.a] for pair in pairs]]
    second = vectors[[rows[pair.b] for pair in pairs]]
    return np.asarray(np.einsum("ij,ij->i", first, second, dtype=np.float64))


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), CHUNK):
        yield texts[start : start + CHUNK]


def _pair(where: str, line: bytes) -> LabelledPair:
    try:
        found = parse_object(line)
    except NotAnObject as reason:
        raise ConfigError(f"{where}: {reason}; an object with a, b and same is expected") from None
    a, b = (_text(where, found, key) for key in TEXTS)
    if not isinstance(found.get("same"), bool):
        raise ConfigError(f"{where}: same: true or false is expected")
    return LabelledPair(a, b, found["same"])


def _text(where: str, found: dict[str, Any], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: {key}: a text is expected")
    return value
