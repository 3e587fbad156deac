"""What a question asks for: a reason, a time, a place, an amount, a way to do something."""

from collections.abc import Sequence
from typing import Literal

Kind = Literal[
    "why",
    "when",
    "where",
    "who",
    "what",
    "how",
    "yes",
    "many",
    "much",
    "long",
    "far",
    "often",
    "old",
]

_AUXILIARY = frozenset(
    (
        "is",
        "are",
        "am",
        "was",
        "were",
        "do",
        "does",
        "did",
        "can",
        "could",
        "will",
        "would",
        "should",
        "shall",
        "may",
        "must",
        "has",
        "have",
        "had",
    )
)
_MEASURES: dict[str, Kind] = {
    **dict.fromkeys(("many", "number"), "many"),
    **dict.fromkeys(("much",), "much"),
    **dict.fromkeys(("long", "soon", "quickly", "fast"), "long"),
    **dict.fromkeys(("far", "tall", "big", "high", "deep", "heavy", "large"), "far"),
    **dict.fromkeys(("often", "frequently"), "often"),
    **dict.fromkeys(("old",), "old"),
}
_PHRASES: tuple[tuple[tuple[str, ...], Kind], ...] = (
    (("how", "come"), "why"),
    (("reason",), "why"),
    (("what", "causes"), "why"),
    (("cause", "of"), "why"),
    (("what", "time"), "when"),
    (("which", "date"), "when"),
    (("what", "date"), "when"),
    (("which", "day"), "when"),
    (("what", "day"), "when"),
    (("deadline",), "when"),
    (("number", "of"), "many"),
    (("way", "to"), "how"),
    (("ways", "to"), "how"),
    (("steps", "to"), "how"),
    (("how", "to"), "how"),
    (("what", "place"), "where"),
    (("whose",), "who"),
    (("whom",), "who"),
)
_PLAIN: dict[str, Kind] = {
    "why": "why",
    "when": "when",
    "where": "where",
    "who": "who",
    "what": "what",
    "which": "what",
}


def asked_for(words: Sequence[str]) -> Kind | None:
    """None where it is no question, or none that is recognised. The first sign counts: what follows
    is a clause more often than not.
    """
    for at, word in enumerate(words):
        for phrase, kind in _PHRASES:
            if word == phrase[0] and tuple(words[at : at + len(phrase)]) == phrase:
                return kind
        if word == "how" and at + 1 < len(words):
            return _MEASURES.get(words[at + 1], "how")
        if word in _PLAIN:
            return _PLAIN[word]
        if at == 0 and word in _AUXILIARY:
            return "yes"
    return None
