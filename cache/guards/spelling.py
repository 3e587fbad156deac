"""One spelling for what has several: case, quotes and contractions."""

import re

_QUOTES = str.maketrans("\u2019\u2018`\u201c\u201d\u00ab\u00bb", '\'\'\'""""')
_CONTRACTED = (
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\b(?:can't|cannot)\b"), "can not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"\b([a-z]+)n't\b"), r"\1 not"),
    (
        re.compile(
            r"\b(don|doesn|didn|isn|aren|wasn|weren|hasn|haven|hadn|couldn|wouldn|shouldn)t\b"
        ),
        r"\1 not",
    ),
    (re.compile(r"\bcant\b"), "can not"),
    (re.compile(r"\bwont\b"), "will not"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"\b(what|where|who|when|how|why|that|it|there|he|she|here|let)'?s\b"), r"\1 is"),
    (re.compile(r"([a-z])'(?:s|re|ve|ll|d|m)\b"), r"\1"),
)


def expanded(text: str) -> str:
    """In lower case, contractions written out."""
    lowered = text.translate(_QUOTES).casefold()
    if "'" in lowered or "nt" in lowered or "s " in lowered:
        for pattern, full in _CONTRACTED:
            lowered = pattern.sub(full, lowered)
    return lowered
