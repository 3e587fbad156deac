"""Which task class a request belongs to: by its tag, else by cheap features, else the default.

Pure and quick: the tag is a look-up; the features read at most `SCANNED_CHARS` characters of either
end of the last user message, so that a long prompt costs no more than a short one. What stands only
in the middle of a long message is not seen; a client that knows better sends a tag.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import re2

from router.validators.pattern import options
from router.validators.text import wordy
from serving.backend import Call
from serving.errors import ConfigError
from serving.settings.root import Settings
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest, Message

SCANNED_CHARS = 2_000
CHARS_PER_TOKEN = 4
MAX_MEMORY = 64_000_000
NEVER = r"[^\x00-\x{10FFFF}]"

CODE_SIGNS = "|".join(
    (
        r"```",
        r"(?:^|\n)[ \t]*(?:def|fn|func)[ \t]+\w+[ \t]*\(",
        r"(?:^|\n)[ \t]*(?:import[ \t]+[\w.]+|from[ \t]+[\w.]+[ \t]+import[ \t]+\S+)[ \t]*(?:\n|$)",
        r"(?:^|\n)[ \t]*(?:public|private|protected|static)[ \t]+\w+[ \t]+\w+",
        r"(?:^|\n)[ \t]*class[ \t]+\w+[^\n]{0,80}[:{][ \t]*(?:\n|$)",
        r"(?:^|\n)[ \t]*#include[ \t]*[<\"]",
        r"\bfunction[ \t]*\w*[ \t]*\([^)\n]{0,200}\)[ \t]*\{",
        r"\b(?:const|let|var)[ \t]+\w+[ \t]*=",
        r"=>[ \t]*[{(]",
        r"\)[ \t]*[;{][ \t]*(?:\n|$)",
        r"\bSELECT\b[^;]{1,400}\bFROM\b",
        r"</[A-Za-z][\w-]*>",
        r"Traceback \(most recent call last\)",
        r"(?:^|\n)[ \t]+at [\w.$<>]+\([^)\n]{0,200}:\d+\)",
    )
)


_folded = partial(options, case_sensitive=False, max_memory=MAX_MEMORY)
_OUTSIDE = r"[^\pL\pM\pN_]"


@dataclass(frozen=True, slots=True)
class TaskDecision:
    task: TaskSettings
    reason: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """One task with its words compiled, None where it has none."""

    task: TaskSettings
    words: Any | None


class TaskClassifier:
    """Immutable; safe to share between requests and threads. `ConfigError` where the words of all
    tasks together are more than one automaton can hold.
    """

    def __init__(self, settings: Settings) -> None:
        self._default = settings.default_task
        self._by_name = {t.name: t for t in (*settings.tasks, settings.default_task)}
        tasks = [t for t in settings.tasks if not t.match.empty]
        self._rules = tuple(_Rule(t, _compiled(t.match.words)) for t in tasks)
        # One pass over the text tells the common case, that no task's word is in it; a second one
        # tells whose words may be.
        self._any_word = _compiled(tuple(word for t in tasks for word in t.match.words))
        self._whose = _whose_words(tasks)
        self._code = re2.compile(CODE_SIGNS.encode(), options())
        self._looks_for_code = any(t.match.code for t in tasks)

    def classify(self, request: ChatRequest, call: Call) -> TaskDecision:
        """By `call.task`, the client's tag; without one by the first task in the config of which
        any feature fits.
        """
        if call.task is not None:
            tagged = self._by_name.get(call.task)
            if tagged is not None:
                return TaskDecision(tagged, f"tagged {call.task!r}")
            return TaskDecision(self._default, f"tag {call.task!r} names no known task")
        return self._by_features(request)

    def _by_features(self, request: ChatRequest) -> TaskDecision:
        raw = scanned(request) if self._any_word is not None or self._looks_for_code else b""
        with_words = self._with_words(raw)
        for i, rule in enumerate(self._rules):
            word = _found(rule.words, raw) if i in with_words else None
            reason = _word_reason(word) or self._fits(rule, request, raw)
            if reason is not None:
                return TaskDecision(rule.task, reason)
        return TaskDecision(self._default, "no tag, and no task's features fit")

    def _with_words(self, raw: bytes) -> Collection[int]:
        """The rules whose words may stand in the text, at least all of those."""
        if self._any_word is None or self._any_word.search(raw) is None:
            return ()
        # None also where the automaton outgrew its memory; then any rule's may.
        return self._whose.Match(raw) or range(len(self._rules))

    def _fits(self, rule: _Rule, request: ChatRequest, raw: bytes) -> str | None:
        match = rule.task.match
        if match.json_output and _wants_json(request):
            return "JSON output is asked for"
        if match.tools and request.tools:
            return "tools are offered"
        if match.code and self._code.search(raw) is not None:
            return "the last user message has signs of code"
        if (least := match.min_prompt_tokens) is not None and _has_tokens(request, least):
            return f"the prompt has about {least} tokens or more"
        return None


def scanned(request: ChatRequest) -> bytes:
    """The first and last `SCANNED_CHARS` characters of the last user message, all of a message
    that is no longer than both, in UTF-8.
    """
    message = next((m for m in reversed(request.messages) if m.role == "user"), None)
    if message is None:
        return b""
    texts = _texts(message)
    if sum(map(len, texts)) <= 2 * SCANNED_CHARS:
        return "\n".join(texts).encode("utf-8", "replace")
    ends = (_joined(texts, SCANNED_CHARS, last=False), _joined(texts, SCANNED_CHARS, last=True))
    return "\n".join(ends).encode("utf-8", "replace")


def _joined(texts: list[str], limit: int, *, last: bool) -> str:
    """The first or last `limit` characters of `texts`, joined by newlines, without joining all."""
    taken: list[str] = []
    missing = limit
    for text in reversed(texts) if last else texts:
        if missing <= 0:
            break
        taken.append(text[-missing:] if last else text[:missing])
        missing -= len(taken[-1]) + 1
    return "\n".join(reversed(taken) if last else taken)


def _texts(message: Message) -> list[str]:
    if isinstance(message.content, str):
        return [message.content]
    return [p.text for p in message.content or () if p.text is not None]


def _compiled(words: tuple[str, ...]) -> Any | None:
    known = [word for word in words if word]
    if not known:
        return None
    try:
        return re2.compile(_words_pattern(known).encode(), _folded())
    except re2.error as error:
        raise ConfigError(f"tasks.match.words: too many or too long: {error}") from error


def _whose_words(tasks: Sequence[TaskSettings]) -> Any:
    """Tells by one pass which tasks' words occur in a text, word borders aside."""
    found = re2.Set.SearchSet(_folded())
    for task in tasks:
        words = [re2.escape(word) for word in task.match.words if word]
        found.Add(("|".join(words) if words else NEVER).encode())
    found.Compile()
    return found


def _words_pattern(words: Iterable[str]) -> str:
    """A pattern that finds any of `words` on word borders and captures it. A border is where a
    letter, mark, digit or underscore of any script meets another character; a side of a word that
    is none of these itself ("C++") needs none.
    """
    by_edges: dict[tuple[bool, bool], list[str]] = {}
    for word in words:
        edges = wordy(word[0]), wordy(word[-1])
        by_edges.setdefault(edges, []).append(re2.escape(word))
    return "|".join(
        (rf"(?:^|{_OUTSIDE})" if starts else "")
        + f"({'|'.join(escaped)})"
        + (rf"(?:$|{_OUTSIDE})" if ends else "")
        for (starts, ends), escaped in by_edges.items()
    )


def _word_reason(word: str | None) -> str | None:
    return None if word is None else f"the last user message has the word {word!r}"


def _found(words: Any | None, raw: bytes) -> str | None:
    found = None if words is None else words.search(raw)
    if found is None:
        return None
    return str(next(g for g in found.groups() if g is not None).decode().casefold())


def _wants_json(request: ChatRequest) -> bool:
    return request.response_format is not None and request.response_format.type != "text"


def _has_tokens(request: ChatRequest, least: int) -> bool:
    """Whether the messages' text amounts to `least` tokens; stops counting once it does."""
    chars = 0
    for message in request.messages:
        chars += sum(map(len, _texts(message)))
        if chars >= least * CHARS_PER_TOKEN:
            return True
    return False
