"""Checks on the text of an answer: emptiness, truncation, length and words."""

import unicodedata
from dataclasses import dataclass

from router.validators.answer import MAX_CHARS, Answer
from serving.settings.validation import Length, Words

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
"""Characters that show nothing and yet are no white space."""

MAX_INSIDE = 2_000
"""Most places at which one word is looked at in one answer."""


@dataclass(frozen=True, slots=True)
class EmptyCheck:
    kind: str = "not_empty"
    whole: bool = False

    def check(self, answer: Answer) -> str | None:
        if answer.choice.tool_calls or answer.text.translate(_NO_INVISIBLE).strip():
            return None
        return "no visible text and no tool call"

    def prefix(self, _text: str, /) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class TruncationCheck:
    """An answer that ended at the client's own limit is what the client asked for, unless a lower
    limit of ours cut it first.
    """

    kind: str = "not_truncated"
    whole: bool = False

    def check(self, answer: Answer) -> str | None:
        if answer.choice.finish_reason != "length":
            return None
        asked, ours = answer.request.output_limit, answer.tier_max_tokens
        if asked is not None and (ours is None or asked <= ours):
            return None
        return "cut by the tier" if ours is None else f"cut at the tier's limit of {ours} tokens"

    def prefix(self, _text: str, /) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class LengthCheck:
    """Words are what stands between white space."""

    spec: Length
    kind: str = "length"
    whole: bool = True

    def check(self, answer: Answer) -> str | None:
        if answer.has_tool_call:
            return None
        spec, chars = self.spec, len(answer.text)
        if chars < spec.min_chars:
            return f"{chars} characters, at least {spec.min_chars} are required"
        if spec.min_words and (words := len(answer.text.split())) < spec.min_words:
            return f"{words} words, at least {spec.min_words} are required"
        return self._too_long(answer.text)

    def prefix(self, text: str, /) -> str | None:
        return self._too_long(text)

    def _too_long(self, text: str) -> str | None:
        spec, chars = self.spec, len(text)
        if spec.max_chars is not None and chars > spec.max_chars:
            return f"more than {spec.max_chars} characters"
        if spec.max_words is not None and len(text.split()) > spec.max_words:
            return f"more than {spec.max_words} words"
        return None


@dataclass(frozen=True, slots=True)
class WordsCheck:
    """The words are case-folded."""

    required: tuple[str, ...]
    forbidden: tuple[str, ...]
    kind: str = "words"
    whole: bool = True

    @classmethod
    def of(cls, spec: Words) -> "WordsCheck":
        required, forbidden = (
            tuple(word.casefold() for word in words) for words in (spec.required, spec.forbidden)
        )
        return cls(required, forbidden)

    def check(self, answer: Answer) -> str | None:
        if answer.has_tool_call:
            return None
        if len(answer.text) > MAX_CHARS:
            return f"too long ({len(answer.text)} characters) to be checked"
        text = answer.text.casefold()
        missing = next((word for word in self.required if not has_word(text, word)), None)
        if missing is not None:
            return f"the required word {missing!r} is missing"
        return self._forbidden(text, len(text))

    def prefix(self, text: str, /) -> str | None:
        """A word at the very end may yet go on and become another."""
        folded = text[:MAX_CHARS].casefold()
        return self._forbidden(folded, len(folded) - 1)

    def _forbidden(self, text: str, until: int) -> str | None:
        found = next((w for w in self.forbidden if has_word(text, w, until) is not False), None)
        return None if found is None else f"the forbidden word {found!r} occurs"


def has_word(text: str, word: str, until: int | None = None) -> bool | None:
    """Whether `word` stands in `text` on word borders and ends at `until` at the latest; None
    where it occurs `MAX_INSIDE` times inside other words first, and nobody looks further. Both must
    be case-folded. A border is where a letter, mark, digit or underscore of any script meets
    another character; a side of `word` that is none of these itself ("C++") needs none.
    """
    limit = len(text) if until is None else until
    start = -1
    for _ in range(MAX_INSIDE):
        start = text.find(word, start + 1, max(0, limit))
        if start == -1:
            return False
        if _border(text, start) and _border(text, start + len(word)):
            return True
    return None


def _border(text: str, at: int) -> bool:
    """Whether a word may begin or end between `text[at - 1]` and `text[at]`."""
    return at in (0, len(text)) or not (wordy(text[at - 1]) and wordy(text[at]))


def wordy(char: str) -> bool:
    """A letter, mark, digit or underscore."""
    return char == "_" or unicodedata.category(char)[0] in "LMN"


_NO_INVISIBLE = {ord(char): None for char in INVISIBLE}
