"""How a trace's costs stand to each other, and the recorded trace in its variants."""

import gzip
import os
import random
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from cache.prompt.replay.costs import Costs, Terms, replay
from cache.prompt.replay.trace import Trace
from serving.costs.rate_card import RateCard
from serving.hosted.models import catalog
from tests.cache.prompt.replay.traces import Kind, lines

DATA = os.environ.get("STEPWELL_TEST_DATA")
RECORDED = "mooncake_synthetic_trace.jsonl.gz"
OPUS = "claude-opus-5-5"

Change = Callable[[int, dict[str, Any]], dict[str, Any]]


def terms(model: str = OPUS) -> Terms:
    price, ability = RateCard.load().price(model, date.max), catalog().find(model)
    assert price is not None
    assert ability is not None
    return Terms(price, ability.min_cacheable)


def trace(rows: Iterable[dict[str, Any]]) -> Trace:
    made = Trace()
    for row in rows:
        blocks = row["prefix_blocks"]
        made.add(row["t"], row["prompt_tokens"], row["completion_tokens"], blocks)
    return made


def of_kind(kind: Kind, seed: int, *, most: int | None = None) -> Trace:
    rng = random.Random(seed)
    return trace(lines(kind(rng), rng)[:most])


def recorded(change: Change) -> Trace:
    """The recorded trace, each row changed."""
    assert DATA is not None
    with gzip.open(Path(DATA) / RECORDED) as file:
        return trace(change(number, orjson.loads(row)) for number, row in enumerate(file))


def as_it_is(_number: int, row: dict[str, Any]) -> dict[str, Any]:
    return row


def slower(_number: int, row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "t": 6 * row["t"]}


def unshared(number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Every block its own."""
    return {**row, "prefix_blocks": [f"{number}:{block}" for block in row["prefix_blocks"]]}


class Measured:
    """`best` is the cheapest fixed policy, `over` by how much the planner is dearer, `gap` how much
    the oracle saves, `closed` which share of that the planner saves; `of_bound` the same beside the
    bound.
    """

    def __init__(self, costs: Costs) -> None:
        fixed = {"none": costs.none, "5m": costs.always_5m, "1h": costs.always_1h}
        self.costs = costs
        self.best = min(fixed, key=lambda name: fixed[name].usd)
        best, planned = float(fixed[self.best].usd), float(costs.planned.usd)
        oracle, bound = float(costs.oracle.usd), float(costs.bound)
        self.over = planned / best - 1
        self.gap = 1 - oracle / best
        self.closed = (best - planned) / (best - oracle) if best > oracle else 0.0
        self.of_bound = (best - planned) / (best - bound) if best > bound else 0.0

    @classmethod
    def of(cls, made: Trace, model: str = OPUS) -> "Measured":
        return cls(replay(made, terms(model)))
