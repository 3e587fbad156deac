"""Answers in text: short ones, paragraphs and code, made from the request's own words.

Readable and deterministic, but not true: the "true answer" of a request is the one that every tier
gives when it is right. A wrong answer has the same form and other content.
"""

from collections.abc import Callable

from serving.engines.mock.code import program
from serving.engines.mock.draws import Draws
from serving.engines.mock.reading import Reading

_SENTENCES = (
    "Start with the {a}: it decides what happens to the {b}.",
    "In most cases the {a} is settled within {n} {unit}.",
    "If the {a} does not match the {b}, ask for a review; that takes about {n} {unit}.",
    "The {b} matters less than people think, because the {a} is checked first.",
    "You will find the {a} under settings, next to the {b}.",
    "Keep a note of the {a} in case the {b} has to be traced later.",
    "There are {n} common reasons, and a mistaken {b} is behind most of them.",
    "Nothing else has to change once the {a} is confirmed.",
    "Allow {n} {unit} before you try the {b} again.",
    "A good first step is to compare the {b} with what the {a} says.",
    "Experts put it down to the {b}, which grew by {n} percent.",
    "Should the {a} still be missing, support can open a case for it.",
    "The short version: {a} first, {b} second, everything else after that.",
    "Unlike the {b}, the {a} can be corrected at any time.",
    "Every {n} {unit} the {b} is refreshed, so an old {a} goes away by itself.",
    "It helps to write down the {a} and to leave the {b} as it is.",
)
_UNITS = ("minutes", "hours", "working days", "weeks", "steps", "attempts")
_GREETINGS = (
    "Hello! Tell me more about {a}, and I will help.",
    "Sure: {a} it is.",
    "{a}: noted, what should happen next?",
    "That is about {a}.",
    "{a}, in short: yes, and soon.",
)
_FALLBACK_WORDS = ("request", "details")


def true_text(reading: Reading, draws: Draws) -> str:
    """The answer of every tier that is right."""
    return _text(reading, draws, _SENTENCES)


def wrong_text(reading: Reading, truth: str, draws: Draws) -> str:
    """A plausible answer of the same form that differs from `truth`."""
    unused = tuple(s for s in _SENTENCES if s.split("{")[0].strip() not in truth) or _SENTENCES
    for _ in range(8):
        text = _text(reading, draws, unused)
        if text != truth:
            return text
    return f"Not {truth}" if reading.form in {"option", "short"} else f"{truth} Or the opposite."


def _text(reading: Reading, draws: Draws, sentences: tuple[str, ...]) -> str:
    if reading.form == "option":
        return draws.pick(reading.options)
    make: dict[str, Callable[[Reading, Draws], str]] = {
        "code": program,
        "number": _number,
        "short": _short,
    }
    if reading.form in make:
        return make[reading.form](reading, draws)
    opening = draws.pick(("Yes. ", "No. ")) if reading.form == "polar" else ""
    return opening + _paragraphs(reading, draws, sentences)


def _number(reading: Reading, draws: Draws) -> str:
    value = draws.between(2, 480)
    a, b = _two(reading, draws)
    part = draws.between(1, value)
    return f"The {a} comes to {part} and the {b} to {value - part}. The answer is {value}."


def _short(reading: Reading, draws: Draws) -> str:
    if len(reading.words) > 3:
        return "_".join(draws.sample(reading.keywords or _FALLBACK_WORDS, 2))
    text = draws.pick(_GREETINGS).format(a=" ".join(reading.words) or _FALLBACK_WORDS[0])
    return text[0].upper() + text[1:]


def _paragraphs(reading: Reading, draws: Draws, sentences: tuple[str, ...]) -> str:
    """Two to four sentences, or as many as the words that were asked for."""
    chosen = draws.sample(sentences, draws.between(2, 4))
    text = " ".join(_sentence(s, reading, draws) for s in chosen)
    words = len(text.split())
    while words < reading.words_asked:
        more = _sentence(draws.pick(sentences), reading, draws)
        text += ("\n\n" if draws.chance(0.15) else " ") + more
        words += len(more.split())
    return text


def _sentence(template: str, reading: Reading, draws: Draws) -> str:
    a, b = _two(reading, draws)
    return template.format(a=a, b=b, n=draws.between(2, 90), unit=draws.pick(_UNITS))


def _two(reading: Reading, draws: Draws) -> tuple[str, str]:
    found = draws.sample(reading.keywords, 2)
    a, b = (found + list(_FALLBACK_WORDS))[:2]
    return a, b
