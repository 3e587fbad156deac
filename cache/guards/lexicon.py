"""The words that guards know: synonyms, opposites, kinds, and words without a subject.

Read once from `data/`, on first use. A phrase is looked up as its words, each a stem, so that one
line covers the forms of a word.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

from cache.guards.stem import stem

DATA = Path(__file__).parent / "data"
LONGEST_PHRASE = 4
LIGHT = 0.3


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`names`: phrases of stems to the concept they name. `weights`: of function and light words,
    others weigh 1. `opposites`: each concept's. `kinds`: the kinds that a concept is a member of.
    """

    names: dict[tuple[str, ...], str]
    starts: frozenset[str]
    weights: dict[str, float]
    opposites: dict[str, frozenset[str]]
    kinds: dict[str, frozenset[str]]

    def concept(self, words: tuple[str, ...]) -> str:
        """The concept that a phrase of stems names; the phrase itself where it is unknown."""
        return self.names.get(words) or " ".join(words)


@lru_cache(1)
def lexicon() -> Lexicon:
    names: dict[tuple[str, ...], str] = {}
    for line in _lines("synonyms"):
        _add(names, line.split(","))
    members: list[tuple[str, list[str]]] = []
    for line in _lines("kinds"):
        kind, _, rest = line.partition(":")
        each = [member.split("|") for member in rest.split(",")]
        for spellings in each:
            _add(names, spellings)
        members.append((kind, [spellings[0] for spellings in each]))
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for kind, first in members:
        for name in first:
            kinds[_concept(names, name)].add(kind)
    return Lexicon(
        names=names,
        starts=frozenset(phrase[0] for phrase in names if len(phrase) > 1),
        weights=_weights(),
        opposites=_opposites(names),
        kinds={name: frozenset(of) for name, of in kinds.items()},
    )


def stems(phrase: str) -> tuple[str, ...]:
    return tuple(stem(word) for word in phrase.replace("-", " ").split())


def _add(names: dict[tuple[str, ...], str], spellings: list[str]) -> None:
    """The first mention of a phrase wins; the rest of its line follows it where it leads."""
    concept = _concept(names, spellings[0])
    for spelling in spellings:
        names.setdefault(stems(spelling), concept)


def _concept(names: dict[tuple[str, ...], str], phrase: str) -> str:
    words = stems(phrase)
    return names.get(words) or " ".join(words)


def _opposites(names: dict[tuple[str, ...], str]) -> dict[str, frozenset[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in _lines("antonyms"):
        left, right = (
            [_concept(names, phrase) for phrase in side.split(",")] for side in line.split("/")
        )
        for one, other in product(left, right):
            if one != other:
                found[one].add(other)
                found[other].add(one)
    return {name: frozenset(others) for name, others in found.items()}


def _weights() -> dict[str, float]:
    weights: dict[str, float] = {}
    for line in _lines("function"):
        light = line.startswith("light:")
        for word in line.removeprefix("light:").split():
            weights.setdefault(stem(word), LIGHT if light else 0.0)
    return weights


def _lines(name: str) -> Iterator[str]:
    for line in (DATA / f"{name}.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line
