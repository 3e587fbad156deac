r"""Strings that match a regular expression, for the `pattern` of a JSON Schema.

Understands literals, `.`, classes, the escapes \d \w \s (and \D \W \S), groups, alternatives,
quantifiers, and anchors at the ends of the whole or of an outermost alternative. Others
(look-around, back-references, \p{…}) have no sample. Work is bounded by `MAX_CHARS` of output,
`MAX_DEPTH` of nested groups and `MAX_STEPS`.
"""

import re
import string

from serving.engines.mock.draws import Draws

MAX_PATTERN_CHARS = 1_000
MAX_CHARS = 2_000
MAX_DEPTH = 20
MAX_STEPS = 20_000
EXTRA_REPEATS = 4

_BOUNDS = re.compile(r"([0-9]{1,5})(,([0-9]{1,5})?)?")
_WORD = string.ascii_letters + string.digits + "_"
_PRINTABLE = string.ascii_letters + string.digits + " -_.,:;!?@#%&*+=/"
_SETS = {
    "d": string.digits,
    "w": _WORD,
    "s": " ",
    "D": string.ascii_letters,
    "W": "-. ",
    "S": _WORD,
}
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


class _NoSampleError(Exception):
    pass


def sample(pattern: str, draws: Draws, *, least: int = 0, most: int = EXTRA_REPEATS) -> str | None:
    """A string that the whole of `pattern` matches, None where it is beyond this module. A
    quantifier repeats from `least` to `most` times more than it must, as far as it may.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        return None
    reader = _Reader(pattern, draws, least, most)
    try:
        text = reader.alternatives(0)
        return text if reader.at == len(pattern) else None
    except (_NoSampleError, IndexError, ValueError):
        return None


class _Reader:
    """Reads a pattern from left to right and writes a sample while it goes; an alternative that
    is not taken and a group that is repeated are read again from their start.
    """

    def __init__(self, pattern: str, draws: Draws, least: int, most: int) -> None:
        self.pattern = pattern
        self.draws = draws
        self.least = least
        self.most = most
        self.at = 0
        self.steps = 0

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self) -> str:
        char = self.pattern[self.at]
        self.at += 1
        return char

    def alternatives(self, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise _NoSampleError
        found = [self.sequence(depth)]
        while self.peek() == "|":
            self.at += 1
            found.append(self.sequence(depth))
        return self.draws.pick(found)

    def sequence(self, depth: int) -> str:
        text = ""
        while self.peek() not in {"", "|", ")"}:
            text += self.repeated(depth)
            if len(text) > MAX_CHARS:
                raise _NoSampleError
        return text

    def repeated(self, depth: int) -> str:
        start = self.at
        once = self.atom(depth)
        after = self.at
        times = self.quantifier()
        end = self.at
        if times is None:
            return once
        text = ""
        for _ in range(times):
            self.at = start
            text += self.atom(depth)
            if len(text) > MAX_CHARS or self.at != after:
                raise _NoSampleError
        self.at = end
        return text

    def quantifier(self) -> int | None:
        """How often the atom before is repeated, None where nothing is said."""
        char = self.peek()
        if char in {"*", "+", "?"}:
            self.at += 1
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        elif char == "{":
            close = self.pattern.index("}", self.at)
            bounds = _BOUNDS.fullmatch(self.pattern, self.at + 1, close)
            if bounds is None:
                raise _NoSampleError
            low = int(bounds[1])
            high = (int(bounds[3]) if bounds[3] else None) if bounds[2] else low
            self.at = close + 1
        else:
            return None
        if self.peek() == "?":
            self.at += 1
        if low > MAX_CHARS:
            raise _NoSampleError
        top = MAX_CHARS if high is None else max(low, high)
        return self.draws.between(min(low + self.least, top), min(low + self.most, top))

    def atom(self, depth: int) -> str:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise _NoSampleError
        char = self.take()
        if char in "*+?{" or (char in "^$" and not self.anchored(char, depth)):
            raise _NoSampleError
        if char == "(":
            return self.group(depth)
        return "" if char in "^$" else self.draws.pick(self.one_of(char))

    def one_of(self, char: str) -> str:
        """The characters that an atom that began with `char` allows."""
        if char == "[":
            return self.character_class()
        if char == "\\":
            return self.escape()
        return _PRINTABLE if char == "." else char

    def anchored(self, char: str, depth: int) -> bool:
        """Whether an anchor that was just read stands at an end of an outermost alternative."""
        if depth > 0:
            return False
        if char == "$":
            return self.peek() in {"", "|"}
        return self.at == 1 or self.pattern[self.at - 2] == "|"

    def group(self, depth: int) -> str:
        if self.peek() == "?":
            self.at += 1
            kind = self.take()
            if kind in {"P", "<"}:
                self.named(kind)
            elif kind != ":":
                raise _NoSampleError
        text = self.alternatives(depth + 1)
        if self.take() != ")":
            raise _NoSampleError
        return text

    def named(self, kind: str) -> None:
        if kind == "P" and self.take() != "<":
            raise _NoSampleError
        if self.peek() in {"=", "!"}:
            raise _NoSampleError
        self.at = self.pattern.index(">", self.at) + 1

    def escape(self) -> str:
        """The characters that an escape allows."""
        char = self.take()
        if char in _SETS:
            return _SETS[char]
        if char in _CONTROL:
            return _CONTROL[char]
        if char in {"x", "u"}:
            digits = 2 if char == "x" else 4
            code = int(self.pattern[self.at : self.at + digits], 16)
            self.at += digits
            return chr(code)
        if char.isalnum():
            raise _NoSampleError
        return char

    def character_class(self) -> str:
        negated = self.peek() == "^"
        self.at += negated
        chars = ""
        while self.peek() != "]" or not chars:
            part = self.escape() if (char := self.take()) == "\\" else char
            if self.peek() == "-" and self.pattern[self.at + 1] != "]" and len(part) == 1:
                self.at += 1
                last = self.escape() if (char := self.take()) == "\\" else char
                part = "".join(map(chr, range(ord(part), min(ord(last), ord(part) + 255) + 1)))
            chars += part
            if len(chars) > MAX_CHARS:
                raise _NoSampleError
        self.at += 1
        if negated:
            chars = "".join(c for c in _PRINTABLE if c not in chars)
        if not chars:
            raise _NoSampleError
        return chars
