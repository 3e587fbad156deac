"""Numbers as they are written, to one form: `1,000`, `1000` and `one thousand` are the same."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

_UNITS = (  # noqa: SIM905  words read better in a line
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

WORDS: dict[str, int] = {
    **{word: value for value, word in enumerate(_UNITS)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
}
SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
MAX_DIGITS = 24
"""A longer row of digits is a code, not a quantity."""


def spelled_out(words: Sequence[str], start: int) -> tuple[int, int] | None:
    """The number that begins at `start` and how many words it takes; None where none does. `one`
    alone is none: it is a pronoun as often.
    """
    total = current = 0
    at = start
    while at < len(words):
        word = words[at]
        if word in WORDS and (current % 100 == 0 or (current % 10 == 0 and WORDS[word] < 10)):
            current += WORDS[word]
        elif word in SCALES and at > start:
            current = max(1, current) * SCALES[word]
            if SCALES[word] > 100:
                total, current = total + current, 0
        else:
            break
        at += 1
    if at == start or words[start:at] == ["one"]:
        return None
    return total + current, at - start


def canonical(written: str) -> str:
    """Of digits with separators. What is no plain number (a time, a version) stays as it is."""
    plain = written.replace(",", "") if _grouped(written) else written
    if len(plain) > MAX_DIGITS:
        return plain
    try:
        value = Decimal(plain)
    except InvalidOperation:
        return plain
    return format(value.normalize(), "f")


def _grouped(written: str) -> bool:
    head, *groups = written.partition(".")[0].split(",")
    return bool(groups) and 0 < len(head) <= 3 and all(len(group) == 3 for group in groups)
