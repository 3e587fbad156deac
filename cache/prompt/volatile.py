"""Which bytes of a text look as if they change from request to request, by pattern alone.

Liberal on purpose: that something looks like a timestamp or an id proves nothing. Only what is seen
to change counts (`evidence.py`).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Any, AnyStr, Literal

import re2

Looks = Literal["uuid", "timestamp", "date", "number", "id", "word"]

MOST_BYTES = 262_144
"""Of one text. What stands behind is left as it is."""

MOST_SPANS = 500
"""In one text: what has more is data."""

HOLE = b"\x00"

MIN_WORD, MAX_WORD = 6, 64
RANDOM_VOWELS = 0.3

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_DAY = r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs?)?|Fri|Sat(?:ur)?|Sun)(?:day)?\.?"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\b\.?)?"
_ZONE = r"(?: ?(?:Z\b|UTC\b|GMT\b|[A-Z]{3,4}\b|[+-]\d{2}:?\d{2}))?"
_NUMBERS = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
_WORDS = (
    rf"\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH},? \d{{4}}"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
)
_DATE = rf"(?:\b{_DAY},? )?\b(?:{_NUMBERS}|{_WORDS})"
_UUID = r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b"
_CTIME = rf"\b{_DAY} {_MONTH} +\d{{1,2}} {_CLOCK}{_ZONE} \d{{4}}"
# Tokens with a digit, with a capital inside, or too long for a word.
_WORDLIKE = (
    r"[A-Za-z0-9+/]{16,}={0,2}"
    r"|[A-Za-z0-9_+-]*[0-9][A-Za-z0-9_+-]*={0,2}"
    r"|[A-Za-z]*[a-z][A-Z][A-Za-z]*"
)
_ALL = (
    rf"({_UUID})"
    rf"|({_CTIME}|{_DATE}(?:T|,? (?:at )?){_CLOCK}{_ZONE}|\b{_CLOCK}{_ZONE})"
    rf"|({_DATE}|\b{_DAY}\b)"
    rf"|({_WORDLIKE})"
)
_GROUPS: tuple[Looks, ...] = ("uuid", "timestamp", "date", "id")


def _compiled() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(_ALL.encode(), options)


_PATTERN = _compiled()

_CLOCK_FACE = re.compile(rb"(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d{1,9})?))?(?: ?([AaPp])\.?[Mm])?")
_DIGITS = re.compile(rb"\d{1,9}")
MONTHS = [b"", b"jan", b"feb", b"mar", b"apr", b"may", b"jun"]
MONTHS += [b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"]
_MONTH_NAME = re.compile(b"(?i)" + b"|".join(MONTHS[1:]))

# Seconds, milliseconds and more since 1970, for any time from 2001 to 2286.
_EPOCH_DIGITS = {10, 13, 16, 19}


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end` of a text, and what they look like."""

    start: int
    end: int
    looks: Looks
    value: bytes


@dataclass(frozen=True, slots=True)
class Masked:
    """A text in UTF-8 (`data`), its spans in order, and `rest`: the text with a hole for each."""

    data: bytes
    spans: tuple[Span, ...]
    rest: bytes

    def chars(self, offset: int) -> int:
        """The offset in characters of an offset in bytes."""
        return len(self.data[:offset].decode("utf-8", "ignore"))


def mask(text: str) -> Masked:
    """Linear in the text."""
    data = text.encode("utf-8", "surrogatepass")
    head = data[:MOST_BYTES]
    spans: list[Span] = []
    rest: list[bytes] = []
    at = 0
    for match in islice(_PATTERN.finditer(head), MOST_SPANS):
        start, end = match.span()
        value = head[start:end]
        spans.append(Span(start, end, _looks(_GROUPS[match.lastindex - 1], value), value))
        rest += (head[at:start], HOLE)
        at = end
    rest.append(data[at:])
    return Masked(data, tuple(spans), b"".join(rest))


def _looks(group: Looks, value: bytes) -> Looks:
    if group != "id" or not value.isdigit():
        return group
    recent = len(value) in _EPOCH_DIGITS and value[:1] in b"12"
    return "timestamp" if recent else "number"


def rises(before: bytes, after: bytes, looks: Looks) -> bool:
    """Whether `after` is the later time, or the greater number. False where they cannot be told."""
    if looks == "number":
        return before.isdigit() and after.isdigit() and int(after[:64]) > int(before[:64])
    old, new = moment(before), moment(after)
    return old is not None and new is not None and new > old


def moment(value: bytes) -> tuple[float, ...] | None:
    """A date and time as numbers that can be compared, what is missing as 0; None where there are
    none. Where day and month cannot be told apart, the month comes first.
    """
    if value.isdigit():  # since 1970
        return (float(value),)
    clock = _CLOCK_FACE.search(value)
    rest = value if clock is None else value[: clock.start()] + b" " + value[clock.end() :]
    hour = minute = second = 0.0
    if clock is not None:
        hour, minute = float(clock[1]), float(clock[2])
        second = float((clock[3] or b"0").replace(b",", b"."))
        if clock[4]:
            hour = hour % 12 + 12 * (clock[4] in b"Pp")
    numbers = [int(n) for n in _DIGITS.findall(rest)]
    name = _MONTH_NAME.search(rest)
    year = next((n for n in numbers if n > 99), 0)
    others = [n for n in numbers if n != year] or [0]
    month, day = (MONTHS.index(name[0].lower()), others[0]) if name else (others[0], others[-1])
    return None if clock is None and not numbers else (year, month, day, hour, minute, second)


def punched(masked: Masked, start: int, end: int) -> Masked:
    """`masked` with one more hole, at bytes that look like a plain word."""
    spans = [s for s in masked.spans if s.end <= start or s.start >= end]
    spans.append(Span(start, end, "word", masked.data[start:end]))
    spans.sort(key=lambda span: span.start)
    rest: list[bytes] = []
    at = 0
    for span in spans:
        rest += (masked.data[at : span.start], HOLE)
        at = span.end
    rest.append(masked.data[at:])
    return Masked(masked.data, tuple(spans), b"".join(rest))


def first_difference(old: AnyStr, new: AnyStr) -> int:
    """The offset of the first byte or character in which they differ; the length of the shorter
    where none does. By halving, so that comparing costs what the processor's own comparison does.
    """
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def one_word(old: bytes, new: bytes) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Where the only difference of two texts is one word of letters in each: its places in both."""
    start = first_difference(old, new)
    while start and old[start - 1 : start].isalpha():
        start -= 1
    tail = first_difference(old[start:][::-1], new[start:][::-1])
    ends = [len(old) - tail, len(new) - tail]
    while tail and new[ends[1] : ends[1] + 1].isalpha():
        tail, ends = tail - 1, [ends[0] + 1, ends[1] + 1]
    words = old[start : ends[0]], new[start : ends[1]]
    if all(MIN_WORD <= len(w) <= MAX_WORD and w.isalpha() for w in words):
        return (start, ends[0]), (start, ends[1])
    return None


def looks_random(words: Collection[bytes]) -> bool:
    """Whether words drawn in one place are random letters rather than names: of a name's letters
    two in five are vowels, of random ones one in four or five.
    """
    letters = b"".join(words).lower()
    vowels = len(letters) - len(letters.translate(None, b"aeiouy"))
    return vowels < RANDOM_VOWELS * len(letters)
