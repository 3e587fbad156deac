"""Pairs that differ in little and mean another thing, and pairs that differ in much and don't.

A template has phrases that all `ask` the same, phrases that ask something else (`not`), `slots`
with values (`a|b` are two names of one thing), the slots whose value makes a difference (`differ`),
and two that may change places (`swap`). The halves are split by template: `score` shares none with
`tune`, and neither do the hand-written pairs.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

HERE = Path(__file__).parent
SAME_EACH = 12
OTHER_EACH = 14

Half = Literal["tune", "score"]


@dataclass(frozen=True, slots=True)
class Pair:
    """`same`: the answer to one serves the other. `source`: its template, or `written`."""

    a: str
    b: str
    same: bool
    source: str
    kind: str


def pairs(half: Half) -> list[Pair]:
    """Always the same ones, in the same order."""
    templates = YAML(typ="safe").load(HERE / f"{half}.yaml")
    return [p for t in templates for p in _of_template(t)] + list(_written(half))


def _of_template(template: dict[str, Any]) -> Iterator[Pair]:
    rng = random.Random(template["id"])
    same = [*_same(template, rng)]
    other = [*_other(template, rng)]
    for candidates, each, label in ((same, SAME_EACH, True), (other, OTHER_EACH, False)):
        unique = sorted(set(candidates))
        for a, b in rng.sample(unique, min(each, len(unique))):
            first, second = (a, b) if rng.random() < 0.5 else (b, a)
            yield Pair(first, second, label, template["id"], template["kind"])


def _fillings(template: dict[str, Any]) -> list[dict[str, str]]:
    slots = template["slots"]
    return [dict(zip(slots, values, strict=True)) for values in product(*slots.values())]


def _fill(phrase: str, values: dict[str, str], rng: random.Random) -> str:
    return phrase.format(**{name: rng.choice(v.split("|")) for name, v in values.items()})


def _same(template: dict[str, Any], rng: random.Random) -> Iterator[tuple[str, str]]:
    for values in _fillings(template):
        for one, two in combinations(template["ask"], 2):
            yield _fill(one, values, rng), _fill(two, values, rng)


def _other(template: dict[str, Any], rng: random.Random) -> Iterator[tuple[str, str]]:
    """By a slot's value, by exchanged slots and by another question: a like number of each."""
    fillings = _fillings(template)
    for _ in range(2 * OTHER_EACH):
        values, one = rng.choice(fillings), rng.choice(template["ask"])
        two = one if rng.random() < 0.6 else rng.choice(template["ask"])
        for name in template.get("differ", ()):
            others = [v for v in template["slots"][name] if v != values[name]]
            changed = values | {name: rng.choice(others)}
            yield _fill(one, values, rng), _fill(two, changed, rng)
        if "swap" in template:
            x, y = template["swap"]
            changed = values | {x: values[y], y: values[x]}
            yield _fill(one, values, rng), _fill(two, changed, rng)
        if template.get("not"):
            yield _fill(one, values, rng), _fill(rng.choice(template["not"]), values, rng)


def _written(half: Half) -> Iterator[Pair]:
    """Lines `= a | b` (the same) or `! a | b`."""
    for line in (HERE / f"{half}.txt").read_text("utf-8").splitlines():
        if line[:2] in ("= ", "! "):
            a, b = line[2:].split(" | ")
            yield Pair(a.strip(), b.strip(), line[0] == "=", "written", "written")
