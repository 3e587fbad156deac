"""Entries and vectors for tests of the shelf."""

import time
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import numpy as np

from cache.semantic.entry import NewEntry
from cache.semantic.question import Question
from tests.cache.indexes.clusters import Vectors, clustered, unit

DIMENSIONS = 32
EMBEDDER = "test-embedder"
HERE, THERE = "a" * 64, "b" * 64


def vectors(count: int, seed: int = 0) -> Vectors:
    return clustered(count, DIMENSIONS, np.random.default_rng(seed))


def axis(number: int) -> "Vectors":
    """A vector that is orthogonal to those of other numbers."""
    row: Vectors = unit(np.eye(DIMENSIONS)[number : number + 1])[0]
    return row


_ASKED = {field.name for field in fields(Question)}


def new(number: int = 0, **given: Any) -> NewEntry:
    """An entry whose vector is that of `number`. `given`: fields of it or of its question."""
    question = Question(HERE, "acme", "support", f"question {number}")
    asked = {name: given.pop(name) for name in _ASKED & given.keys()}
    plain = NewEntry(
        question=replace(question, **asked),
        vector=axis(number % DIMENSIONS),
        answer=b'{"id":"chatcmpl-%d"}' % number,
        tier="small",
        model="model-7b",
        simulated=False,
        cost_usd=Decimal("0.001"),
        request_id=f"req-{number}",
        expires_at=time.time() + 3_600,
    )
    return replace(plain, **given)
