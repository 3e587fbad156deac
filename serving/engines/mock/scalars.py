"""Numbers and strings that satisfy the scalar keywords of a JSON Schema."""

import math
from typing import Any

from serving.engines.mock.draws import Draws
from serving.engines.mock.pattern import sample

MAX_STRING = 4_000
_SPAN = 100


def _date(draws: Draws) -> str:
    month, day = draws.between(1, 12), draws.between(1, 28)
    return f"{draws.between(2015, 2035)}-{month:02}-{day:02}"


def _time(draws: Draws) -> str:
    hour, minute, second = draws.between(0, 23), draws.between(0, 59), draws.between(0, 59)
    return f"{hour:02}:{minute:02}:{second:02}Z"


def _uuid(draws: Draws) -> str:
    digits = "".join(draws.pick("0123456789abcdef") for _ in range(30))
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:30]}"


def formatted(name: str, draws: Draws, word: str) -> str | None:
    """A string of a known format, None for an unknown one."""
    slug = "".join(c for c in word if c.isascii() and c.isalnum()) or "item"
    number = draws.between(1, 254)
    known = {
        "date": _date(draws),
        "date-time": f"{_date(draws)}T{_time(draws)}",
        "time": _time(draws),
        "duration": f"P{draws.between(1, 30)}D",
        "email": f"{slug}{number}@example.com",
        "idn-email": f"{slug}{number}@example.com",
        "hostname": f"{slug}{number}.example.com",
        "idn-hostname": f"{slug}{number}.example.com",
        "ipv4": f"192.0.2.{number}",
        "ipv6": f"2001:db8::{number:x}",
        "uri": f"https://example.com/{slug}/{number}",
        "uri-reference": f"/{slug}/{number}",
        "iri": f"https://example.com/{slug}/{number}",
        "iri-reference": f"/{slug}/{number}",
        "uri-template": f"https://example.com/{slug}/{{id}}",
        "uuid": _uuid(draws),
        "json-pointer": f"/{slug}/{number}",
        "relative-json-pointer": f"0/{slug}",
        "regex": f"^{slug}$",
    }
    return known.get(name)


def text(schema: dict[str, Any], draws: Draws, words: tuple[str, ...]) -> str:
    """A string within `format`, `pattern`, `minLength` and `maxLength`, as far as they are known;
    without format and pattern one or two of the request's words.
    """
    low = _length(schema.get("minLength"), 0)
    high = max(low, _length(schema.get("maxLength"), MAX_STRING))
    word = draws.pick(words)
    if isinstance(pattern := schema.get("pattern"), str):
        found = _by_pattern(pattern, low, high, draws)
        if found is not None:
            return found
    if isinstance(name := schema.get("format"), str):
        known = formatted(name, draws, word)
        if known is not None:
            return known
    value = " ".join(draws.sample(words, draws.between(1, 2)))
    while len(value) < low:
        value += f" {draws.pick(words)}"
    return value[:high].rstrip() if len(value[:high].rstrip()) >= low else value[:high]


def _by_pattern(pattern: str, low: int, high: int, draws: Draws) -> str | None:
    """Where a plain sample is too short, what is missing is shared by one to four quantifiers."""
    shortest = sample(pattern, draws, most=0)
    if shortest is None:
        return None
    missing = max(0, low - len(shortest))
    shares = [(0, 4), (0, 4), *((-(-missing // n), -(-missing // n)) for n in (1, 2, 3, 4)), (0, 0)]
    for least, most in shares:
        found = sample(pattern, draws, least=least, most=most)
        if found is not None and low <= len(found) <= high:
            return found
    return None


def _length(value: Any, default: int) -> int:
    return min(int(value), MAX_STRING) if isinstance(value, int | float) else default


def _number(value: Any) -> float | None:
    """The value where it is a usable number; booleans and enormous ones are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e15 else None


def bounds(schema: dict[str, Any], step: float) -> tuple[float, float]:
    """The lowest and highest value that the schema allows; open sides are at most 100 away."""
    low, high = _number(schema.get("minimum")), _number(schema.get("maximum"))
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is True and low is not None:
        low += step
    elif (number := _number(above)) is not None:
        low = number + step if low is None else max(low, number + step)
    if below is True and high is not None:
        high -= step
    elif (number := _number(below)) is not None:
        high = number - step if high is None else min(high, number - step)
    if low is None:
        low = 0 if high is None or high >= 0 else high - _SPAN
    return low, high if high is not None else low + _SPAN


def integer(schema: dict[str, Any], draws: Draws) -> int:
    low, high = bounds(schema, 1)
    multiple = _number(schema.get("multipleOf")) or 1
    step = max(1, round(multiple)) if float(multiple).is_integer() else 1
    first, last = math.ceil(low / step), math.floor(high / step)
    return draws.between(first, max(first, last)) * step


def number(schema: dict[str, Any], draws: Draws) -> float:
    multiple = _number(schema.get("multipleOf"))
    if multiple:
        low, high = bounds(schema, multiple)
        first, last = math.ceil(low / multiple), math.floor(high / multiple)
        value = draws.between(first, max(first, last)) * multiple
        return round(value, 10)
    low, high = bounds(schema, 1e-3)
    value = round(low + draws.uniform() * max(0.0, high - low), 2)
    return value if low <= value <= high else low
