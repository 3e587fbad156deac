"""Patterns on answers, through RE2: linear in the answer, bounded in memory.

RE2 has no look-around and no back-references; a pattern that needs them is refused.
"""

from dataclasses import dataclass
from typing import Any

import re2

from router.validators.answer import Answer
from serving.errors import InvalidRequest
from serving.settings.validation import Regex

MAX_MEMORY = 2_000_000
"""Bytes one compiled pattern may take, its automaton's states included."""

MAX_STEPS = 100_000_000
"""Most steps of the automaton on one answer, some 0.4 s where no state can be cached."""


def options(
    *, case_sensitive: bool = True, latin: bool = False, max_memory: int = MAX_MEMORY
) -> Any:
    made = re2.Options()
    made.case_sensitive = case_sensitive
    made.max_mem = max_memory
    made.log_errors = False
    if latin:
        made.encoding = re2.Options.Encoding.LATIN1
    return made


def compile_pattern(pattern: str, where: str) -> Any:
    """Matches on UTF-8 bytes. `InvalidRequest` names `where` a wrong or too large pattern stands.
    RE2 keeps the 128 compiled last.
    """
    try:
        return re2.compile(pattern.encode(), options())
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise InvalidRequest(
            f"{where}: the pattern is not a bounded RE2 pattern: {reason[:200]}", param=where
        ) from error


def pattern_size(pattern: str) -> int | None:
    """How many places of a pattern can be active at once, so that `size * bytes of text` bounds
    the work of a match whatever the engine caches. None where RE2 cannot compile it. Counted on the
    Latin-1 program, in which a character class is one place and not its UTF-8 ranges.
    """
    try:
        return int(re2.compile(pattern.encode(), options(latin=True)).programsize)
    except re2.error:
        return None


@dataclass(frozen=True, slots=True)
class RegexCheck:
    spec: Regex
    compiled: Any
    size: int
    kind: str = "regex"
    whole: bool = True

    @classmethod
    def of(cls, spec: Regex) -> "RegexCheck":
        compiled = compile_pattern(spec.pattern, "regex")
        return cls(spec, compiled, pattern_size(spec.pattern) or compiled.programsize)

    def check(self, answer: Answer) -> str | None:
        if answer.has_tool_call:
            return None
        if self.size * len(answer.raw) > MAX_STEPS:
            return f"the answer is too long ({len(answer.raw)} bytes) for this pattern"
        compiled = self.compiled
        full = self.spec.mode == "full"
        found = compiled.fullmatch(answer.raw) if full else compiled.search(answer.raw)
        if self.spec.negate:
            return None if found is None else "the forbidden pattern is found"
        where = "span the answer" if full else "occur in the answer"
        return None if found is not None else f"the pattern does not {where}"

    def prefix(self, text: str, /) -> str | None:
        """A forbidden match that ends before the prefix does stays a match, whatever follows."""
        raw = text.encode("utf-8", "replace")
        if not self.spec.negate or self.spec.mode == "full" or self.size * len(raw) > MAX_STEPS:
            return None
        found = self.compiled.search(raw)
        if found is None or found.end() == len(raw):
            return None
        return "the forbidden pattern is found"
