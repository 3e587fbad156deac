"""Pairs of real requests: of the same intent, or not, drawn in four ways."""

import gzip
import json
import os
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.embedder.base import Model
from cache.embedder.load import load_model

CHUNK = 512
MOST_TEXTS = 8_000
NEIGHBOURS = 3

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pair:
    """`group`: where it is from and how it was drawn."""

    a: str
    b: str
    same: bool
    group: str


@dataclass(frozen=True, slots=True)
class Requests:
    """`labels` are numbers; two of the same label may share an answer."""

    texts: list[str]
    labels: NDArray[np.int64]
    vectors: Vectors


def data_folder() -> Path:
    """Exits, saying so, where `STEPWELL_TEST_DATA` is unset."""
    folder = os.environ.get("STEPWELL_TEST_DATA")
    if not folder:
        sys.exit("set STEPWELL_TEST_DATA to the folder with the recorded requests")
    return Path(folder)


def all_cores() -> Model:
    return load_model(threads=len(os.sched_getaffinity(0)))


def embed(model: Model, texts: Sequence[str]) -> Vectors:
    chunks = [model.encode(texts[n : n + CHUNK]).vectors for n in range(0, len(texts), CHUNK)]
    return np.concatenate(chunks)


def requests(model: Model, name: str, seed: int, most: int = MOST_TEXTS) -> Requests:
    """`most` of the file's requests, in an order of chance."""
    rows: list[dict[str, Any]] = []
    with gzip.open(data_folder() / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    random.Random(seed).shuffle(rows)
    rows = rows[:most]
    texts = [row["text"] for row in rows]
    _, labels = np.unique([row["label"] for row in rows], return_inverse=True)
    return Requests(texts, labels, embed(model, texts))


def chance_pairs(of: Requests, name: str, count: int, rng: random.Random) -> Iterator[Pair]:
    """As many of the same label as of others."""
    mates: defaultdict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(of.labels):
        mates[int(label)].append(row)
    for _ in range(count):
        row = rng.randrange(len(of.texts))
        mate = rng.choice(mates[int(of.labels[row])])
        if mate != row:
            yield Pair(of.texts[row], of.texts[mate], True, f"{name} by chance")
        other = rng.randrange(len(of.texts))
        if of.labels[other] != of.labels[row]:
            yield Pair(of.texts[row], of.texts[other], False, f"{name} by chance")


def near_pairs(of: Requests, name: str, count: int, rng: random.Random) -> Iterator[Pair]:
    """Of a request and one of its nearest of the same label, and of another label."""
    for row in rng.sample(range(len(of.texts)), min(count, len(of.texts))):
        order = np.argsort(-(of.vectors @ of.vectors[row]), kind="stable")
        nearest = [int(n) for n in order[:40] if n != row]
        for same in (True, False):
            found = [n for n in nearest if (of.labels[n] == of.labels[row]) == same]
            if found:
                chosen = rng.choice(found[:NEIGHBOURS])
                yield Pair(of.texts[row], of.texts[chosen], same, f"{name} nearest")


def hard_pairs(of: Requests, name: str, count: int, rng: random.Random) -> Iterator[Pair]:
    """Of the same label by chance, of another label among the nearest: against any cosine."""
    for row in rng.sample(range(len(of.texts)), min(count, len(of.texts))):
        mates = [int(n) for n in np.flatnonzero(of.labels == of.labels[row]) if n != row]
        if mates:
            yield Pair(of.texts[row], of.texts[rng.choice(mates)], True, f"{name} hard")
        order = np.argsort(-(of.vectors @ of.vectors[row]), kind="stable")[:150]
        others = [int(n) for n in order if of.labels[n] != of.labels[row]]
        if others:
            chosen = rng.choice(others[:NEIGHBOURS])
            yield Pair(of.texts[row], of.texts[chosen], False, f"{name} hard")


def met_pairs(of: Requests, name: str, count: int, rng: random.Random) -> Iterator[Pair]:
    """Of a request and the nearest of those before it: what a cache meets."""
    least = len(of.texts) // 4
    for new in sorted(rng.sample(range(least, len(of.texts)), min(count, len(of.texts) - least))):
        best = int(np.argmax(of.vectors[:new] @ of.vectors[new]))
        same = bool(of.labels[best] == of.labels[new])
        yield Pair(of.texts[new], of.texts[best], same, f"{name} met")


def natural_pairs(model: Model, name: str, seed: int, each: int) -> list[Pair]:
    """`each` of the requests, paired in each of the four ways."""
    of, rng = requests(model, name, seed), random.Random(seed)
    ways = (chance_pairs, near_pairs, hard_pairs, met_pairs)
    return [pair for way in ways for pair in way(of, name, each, rng)]
