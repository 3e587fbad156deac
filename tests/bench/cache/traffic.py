"""Requests as a stream that meets a cache: nearest ones looked up once, judgements remembered."""

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.answer_groups import AnswerGroups
from cache.decision import Decision
from cache.embedder.base import Model
from cache.neighbours import Chosen, Near, choose
from cache.threshold import LOWEST, EntryEvidence, Threshold
from tests.bench.cache.natural import Vectors, data_folder, embed

NEAREST = 300
"""Of each request, among all: whether one is stored shows when it comes."""

CANDIDATES = 5
BLOCK = 512


@dataclass(slots=True)
class Traffic:
    """`nearest` of each text by falling `cosines`; `labels` are numbers, and stand for answers."""

    texts: list[str]
    labels: NDArray[np.int64]
    nearest: NDArray[np.int64]
    cosines: NDArray[np.float32]
    scores: dict[tuple[int, int], float] = field(default_factory=dict)

    def score(self, decision: Decision, new: int, stored: int, cosine: float) -> float:
        key = (new, stored) if new < stored else (stored, new)
        if (found := self.scores.get(key)) is None:
            judged = decision.judge_texts(cosine, self.texts[new], self.texts[stored])
            found = self.scores[key] = judged.score
        return found


@dataclass(frozen=True, slots=True)
class Outcome:
    requests: int
    hits: int
    wrong: int

    @property
    def hit_rate(self) -> float:
        return self.hits / self.requests

    @property
    def false_hit_rate(self) -> float:
        return self.wrong / max(1, self.hits)


def traffic(model: Model, names: Sequence[str], most: int | None = None) -> Traffic:
    """Of the files together; the first `most` of a fixed order of chance."""
    rows = [row for name in names for row in rows_of(data_folder() / f"{name}.jsonl.gz")]
    random.Random(0).shuffle(rows)
    rows = rows[:most]
    texts = [row["text"] for row in rows]
    _, labels = np.unique([row["label"] for row in rows], return_inverse=True)
    nearest, cosines = _nearest(embed(model, texts))
    return Traffic(texts, labels, nearest, cosines)


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines)


def _nearest(vectors: Vectors) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    most = min(NEAREST, len(vectors) - 1)
    found = np.empty((len(vectors), most), np.int64)
    cosines = np.empty((len(vectors), most), np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK] @ vectors.T
        rows = np.arange(len(block))
        block[rows, start + rows] = -2.0
        top = np.argpartition(-block, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(block, top, 1), axis=1, kind="stable")
        found[start : start + BLOCK] = np.take_along_axis(top, order, 1)
        cosines[start : start + BLOCK] = np.take_along_axis(block, found[start : start + BLOCK], 1)
    return found, cosines


def order_of(requests: int, seed: int) -> list[int]:
    order = list(range(requests))
    random.Random(seed).shuffle(order)
    return order


def by_cosine(of: Traffic, seed: int, cut: float) -> Outcome:
    """Served whatever is at least as near as `cut`; the rest is stored."""
    stored = np.zeros(len(of.texts), np.bool_)
    hits = wrong = 0
    for new in order_of(len(of.texts), seed):
        there = stored[of.nearest[new]]
        first = int(np.argmax(there))
        if there[first] and of.cosines[new, first] >= cut:
            hits += 1
            wrong += bool(of.labels[of.nearest[new, first]] != of.labels[new])
        else:
            stored[new] = True
    return Outcome(len(of.texts), hits, wrong)


@dataclass(slots=True)
class Stream:
    """One order of the traffic through decision, neighbours, evidence and threshold. A miss's fresh
    answer is compared with the best candidate's; of hits, a share of `audit`. `together`: a miss's
    answer is compared with the other candidates' too, one of each group of answers, and what is
    known to agree counts together from then on.
    """

    of: Traffic
    decision: Decision
    seed: int
    delta: float = 0.02
    audit: float = 0.05
    together: bool = True
    threshold: Threshold = field(init=False)
    _stored: NDArray[np.bool_] = field(init=False)
    _evidence: dict[int, EntryEvidence] = field(default_factory=dict, init=False)
    _groups: AnswerGroups = field(default_factory=AnswerGroups, init=False)
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.threshold = Threshold(self.delta)
        self._stored = np.zeros(len(self.of.texts), np.bool_)
        self._rng = random.Random(self.seed)

    def run(self) -> Outcome:
        hits = wrong = 0
        order = order_of(len(self.of.texts), self.seed)
        for new in order:
            candidates = self._candidates(new)
            chosen, best = self._chosen(candidates)
            failed = best is not None and bool(self.of.labels[best] != self.of.labels[new])
            hit = chosen is not None and self.threshold.cut.allows(chosen.score)
            if chosen is not None:
                self.threshold.looked_up(chosen.score)
            hits, wrong = hits + hit, wrong + (hit and failed)
            if not hit:
                self._stored[new] = True
                self._compare(new, candidates)
            if chosen is not None and best is not None and self._shows(chosen, hit=hit):
                self.threshold.observe(chosen.score, wrong=failed)
                self._evidence[best] = self._evidence_of(best).after(wrong=failed)
        return Outcome(len(order), hits, wrong)

    def _candidates(self, new: int) -> list[tuple[int, Near]]:
        places = np.flatnonzero(self._stored[self.of.nearest[new]])[:CANDIDATES]
        found = []
        for place in places:
            stored = int(self.of.nearest[new, place])
            cosine = float(self.of.cosines[new, place])
            score = self.of.score(self.decision, new, stored, cosine)
            score += self._evidence_of(stored).shift
            found.append((stored, Near(score, self._groups.of(stored))))
        return found

    def _compare(self, new: int, candidates: list[tuple[int, Near]]) -> None:
        """One of each group, and each whose group is not known."""
        if not self.together:
            return
        one_each = {near.answers or f"alone {entry}": entry for entry, near in candidates}
        right = {
            entry: bool(self.of.labels[entry] == self.of.labels[new]) for entry in one_each.values()
        }
        agrees = [entry for entry, same in right.items() if same]
        self._groups.compared(new, agrees, right.keys() - set(agrees))

    def _chosen(self, candidates: list[tuple[int, Near]]) -> tuple[Chosen | None, int | None]:
        chosen = choose([near for _, near in candidates])
        return chosen, None if chosen is None else candidates[chosen.index][0]

    def _shows(self, chosen: Chosen, *, hit: bool) -> bool:
        """Whether the outcome comes to be known."""
        return self._rng.random() < self.audit if hit else chosen.score >= LOWEST

    def _evidence_of(self, entry: int) -> EntryEvidence:
        return self._evidence.get(entry, EntryEvidence())
