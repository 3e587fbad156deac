"""What stands out in a text: ids, code, quoted strings and names."""

import re
from collections.abc import Iterator

from cache.guards.lexicon import Lexicon
from cache.guards.stem import stem

UNIT = "k|am|pm|kg|g|mg|mcg|lbs?|cm|mm|km|h|hrs?|mins?|s|gb|mb|tb|kb|st|nd|rd|th|c|f|x"
"""What may follow a number without a space, and doesn't make an id of it."""

_CODE = re.compile(r"`([^`]+)`|\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)|“([^”]+)”")
_ID = re.compile(
    r"#\w[\w-]*|\b(?=\w*\d)(?=\w*[A-Za-z])\w+(?:-\w+)*\b|\b[A-Za-z]+-\d[\w-]*|\b\w+_\w+\b|\b[a-z]+[A-Z]\w*"
    r"|\d\s*[-+*/^\u00d7\u00f7]\s*\d|--\w[\w-]*|(?<=\s)-\w\w?\b|[=!<>]=+|\b\d+(?:\.\d+){2,}\b"
)
_NAME = re.compile(r"(?<![.?!:]\s)(?<!^)(?<![\"'(])\b[A-Z][\w&'-]*")
_ORDINAL_OR_UNIT = re.compile(rf"#?\d+(?:{UNIT})?", re.IGNORECASE)


def codes(text: str, known: Lexicon) -> Iterator[str]:
    """As they are written between quotes, else in lower case. An id that has a name of its own in
    the lexicon, such as 2FA, is a word like others.
    """
    for match in _CODE.finditer(text):
        inside = next(group for group in match.groups() if group is not None).strip()
        if inside:
            yield inside
    for match in _ID.finditer(text):
        found = match.group()
        word = found.casefold().replace(" ", "")
        if (stem(word),) not in known.names and not _ORDINAL_OR_UNIT.fullmatch(found):
            yield word


def names(text: str, known: Lexicon) -> Iterator[str]:
    """Capitalised words inside a sentence, unless the text is written in capitals."""
    if text.isupper():
        return
    for match in _NAME.finditer(text):
        word = match.group().casefold().removesuffix("'s")
        if known.weights.get(stem(word), 1.0) >= 1.0:
            yield known.concept((stem(word),))
