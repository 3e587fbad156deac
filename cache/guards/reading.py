"""One text, read for what guards compare. Pure; some 30 µs for a dozen words."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from cache.guards.lexicon import LONGEST_PHRASE, Lexicon, lexicon
from cache.guards.marks import UNIT, codes, names
from cache.guards.numbers import canonical, spelled_out
from cache.guards.question import Kind, asked_for
from cache.guards.spelling import expanded
from cache.guards.stem import stem

MAX_CHARACTERS = 4_000
"""A longer text is read in part, so nothing is known of what it differs in."""

REMEMBERED_CHARACTERS = 500

_WORD = re.compile(
    rf"\d+(?:[.,:/]\d+)*(?=(?:{UNIT})?\b)|\w*\d\w*|c\+\+|c#|[^\W\d_]+(?:\.[^\W\d_]+)*|[%$€£]"
)
_OUTER = " .?!"
_SIGNS = {"$": "dollar", "€": "euro", "£": "pound_currency", "%": "percent"}
_NEGATIONS = frozenset(
    ("not", "no", "never", "none", "nobody", "nothing", "nowhere", "neither", "without", "cannot")
)
_PREPOSITIONS = frozenset(
    (
        "out",
        "from",
        "to",
        "into",
        "onto",
        "in",
        "on",
        "for",
        "by",
        "with",
        "of",
        "over",
        "at",
        "than",
        "before",
        "after",
        "against",
        "under",
        "via",
    )
)
_PAST = frozenset(("did", "was", "were", "had"))
_FUTURE = frozenset(("will", "shall"))
_DIRECTIONS = {"into": "to", "onto": "to", "out": "from"}
_JOINING = frozenset(("and", "or", "versus", "vs", "between"))


@dataclass(frozen=True, slots=True)
class Token:
    """A word or phrase as its concept. `weight`: how much subject it carries, 0 for function
    words. `role`: the preposition before it, `and` in an enumeration, else empty.
    """

    concept: str
    weight: float
    role: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """`exact`: the text without case, outer punctuation and width of its spaces. `whole`: all of
    it was read. `weights`: of each concept that has one. `codes` are ids, quoted strings, code and
    sums. `asks`: for what, if a question. `tense`: past or future, where one of them is told.
    """

    exact: str
    whole: bool
    tokens: tuple[Token, ...]
    concepts: tuple[str, ...]
    weights: dict[str, float]
    numbers: frozenset[str]
    codes: frozenset[str]
    names: frozenset[str]
    negations: int
    asks: Kind | None
    tense: str | None


def read(text: str) -> Reading:
    """Always the same for the same text; short ones are remembered."""
    return _remembered(text) if len(text) <= REMEMBERED_CHARACTERS else _read(text)


def _read(text: str) -> Reading:
    exact = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_OUTER)
    whole = len(text) <= MAX_CHARACTERS
    text = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS])
    lowered = expanded(text)
    words = _WORD.findall(lowered)
    known = lexicon()
    tokens = tuple(_with_roles(_tokens(words, known)))
    concepts = tuple(token.concept for token in tokens)
    return Reading(
        exact=exact,
        whole=whole,
        tokens=tokens,
        concepts=concepts,
        weights={token.concept: token.weight for token in tokens if token.weight},
        numbers=frozenset(c for c in concepts if c[0].isdigit() and c[-1].isdigit()),
        codes=frozenset(codes(text, known)),
        names=frozenset(names(text, known)),
        negations=sum(word in _NEGATIONS for word in words),
        asks=asked_for(words),
        tense=_tense(words),
    )


_remembered = lru_cache(8_192)(_read)


def _tokens(words: list[str], known: Lexicon) -> Iterator[Token]:
    at = 0
    while at < len(words):
        word = words[at]
        concept, length = _longest(words, at, known)
        if length > 1:
            yield Token(concept, 1.0)
            at += length
        elif (number := spelled_out(words, at)) is not None:
            yield Token(str(number[0]), 1.5)
            at += number[1]
        elif word[0].isdigit() and word[-1].isdigit():
            yield Token(canonical(word), 1.5)
            at += 1
        elif word in _SIGNS:
            yield Token(_SIGNS[word], 1.0)
            at += 1
        else:
            named = concept in known.opposites or concept in known.kinds
            weight = known.weights.get(concept, 1.0)
            yield Token(concept, max(weight, 0.5) if named and weight else weight)
            at += 1


def _longest(words: list[str], at: int, known: Lexicon) -> tuple[str, int]:
    """The concept of the longest known phrase that begins here, and its length in words."""
    first = stem(words[at])
    if first in known.starts:
        phrase = tuple(stem(word) for word in words[at : at + LONGEST_PHRASE])
        for length in range(len(phrase), 1, -1):
            if (concept := known.names.get(phrase[:length])) is not None:
                return concept, length
    return known.names.get((first,), first), 1


def _with_roles(tokens: Iterator[Token]) -> Iterator[Token]:
    role = ""
    for token in tokens:
        if token.weight:
            yield Token(token.concept, token.weight, role)
            role = ""
        else:
            if token.concept in _PREPOSITIONS and not (role == "from" and token.concept == "of"):
                role = _DIRECTIONS.get(token.concept, token.concept)
            elif token.concept in _JOINING:
                role = "and"
            yield token


def _tense(words: list[str]) -> str | None:
    past, future = not _PAST.isdisjoint(words), not _FUTURE.isdisjoint(words)
    if past == future:
        return None
    return "past" if past else "future"
