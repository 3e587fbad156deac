"""What the mock reads in a request: cheap features of its text, and what form of answer it asks
for. Only the first 4,000 characters of a text are read, so the time is bounded.
"""

import re
from dataclasses import dataclass
from typing import Literal

from serving.engines.mock.words import POLAR, STOP
from serving.wire.chat import ChatRequest

Form = Literal["code", "option", "number", "polar", "short", "prose"]

READ_CHARS = 4_000
MAX_KEYWORDS = 12
MAX_OPTIONS = 50
MAX_WORDS_ASKED = 2_000
SYSTEM_ROLES = frozenset({"system", "developer"})

_WORD = re.compile("[^\\W_]+(?:['\u2019][^\\W_]+)?")
_CODE_SIGN = re.compile(
    r"```|\bdef \w+\(|#include\b|=>|[=!]==?|\bSELECT\b.{1,80}\bFROM\b|\breturn\b.{1,80};|\(\)",
    re.DOTALL,
)
_CODE_WISH = re.compile(
    r"\b(?:write|implement|fix|refactor|debug|complete|optimi[sz]e|translate|generate|create|give)\b"
    r".{0,60}\b(?:code|function|script|program|class|method|sql|query|regex|regexp|python|"
    r"javascript|typescript|java|rust|golang|bash|html|css|unit tests?)\b",
    re.IGNORECASE | re.DOTALL,
)
_MATHS = re.compile(
    r"\d\s*[-+*/^=\u00d7\u00f7]\s*\d|[=√∑∫≤≥]|\b(?:equation|solve|calculate|compute|probability|percent|"
    r"integral|derivative|polynomial|matrix|theorem|sum|product|average|total|per)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NUMBER_WISH = re.compile(
    r"\bhow (?:many|much|far|long|old|tall|fast)\b|\b(?:calculate|compute|solve|evaluate)\b"
    r"|\bwhat is \d|\bsum of\b",
    re.IGNORECASE,
)
_LETTERED = re.compile(r"(?:^|\s)\(?([A-H])[.):]\s{1,4}\S")
_CLASSIFY = re.compile(
    r"\b(?:classify|classification|categori[sz]e|labels?|sentiment|intents?|which (?:one )?of|"
    r"choose|pick|select|one of)\b",
    re.IGNORECASE,
)
_LISTED = re.compile(
    r"\b(?:one of|labels?|categor(?:y|ies)|class(?:es)?|options|intents?|choose from|pick from|"
    r"select from|into|as)\b(?:\s(?:these|the following|exactly))?"
    r"\s{0,3}:?\s{0,3}([^\n.?!;:]{3,600})",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"\s*(?:,|\||/|\bor\b|\band\b)\s*")
_YES_NO = re.compile(r"\byes\b.{1,4}\bno\b", re.IGNORECASE)
_TRUE_FALSE = re.compile(r"\btrue\b.{1,4}\bfalse\b", re.IGNORECASE)
_BRIEF = re.compile(r"\b(?:(?:one|single) word|only the|just the|answer only)\b", re.IGNORECASE)
_WORDS_ASKED = re.compile(r"\b(\d{2,4})[- ]words?\b", re.IGNORECASE)
_JSON = re.compile(r"\bjson\b", re.IGNORECASE)
_JSON_ORDER = re.compile(
    r"\b(?:answer|respond|reply|return|output)\b.{0,40}\bjson\b", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Reading:
    """`words` in lower case and in order, `keywords` the distinct telling ones among them;
    `options` are the answers that the request allows where its form is `option`.
    """

    words: tuple[str, ...]
    keywords: tuple[str, ...]
    form: Form
    options: tuple[str, ...]
    wants_json: bool
    words_asked: int
    numbers: int
    maths: bool
    code: bool


def words_of(text: str) -> tuple[str, ...]:
    return tuple(w.lower().replace("\u2019", "'") for w in _WORD.findall(text[:READ_CHARS]))


def keywords_of(words: tuple[str, ...], limit: int = MAX_KEYWORDS) -> tuple[str, ...]:
    found = dict.fromkeys(w for w in words if len(w) > 2 and w not in STOP)
    return tuple(found)[:limit]


def read(request: ChatRequest) -> Reading:
    """What the last user message asks for; allowed answers may also stand in the system prompt."""
    text = request.last_user_text[:READ_CHARS]
    words = words_of(text)
    numbers = len(_NUMBER.findall(text))
    code = bool(_CODE_WISH.search(text))
    system = _system_text(request)
    options = () if code else _options(text) or _options(system)
    asked = _WORDS_ASKED.search(text)
    return Reading(
        words=words,
        keywords=keywords_of(words),
        form=_form(text, words, code=code, options=options, numbers=numbers),
        options=options,
        wants_json=bool(_JSON.search(text) or _JSON_ORDER.search(system)),
        words_asked=min(int(asked[1]), MAX_WORDS_ASKED) if asked else 0,
        numbers=numbers,
        maths=bool(_MATHS.search(text)),
        code=code or bool(_CODE_SIGN.search(text)),
    )


def _form(
    text: str, words: tuple[str, ...], *, code: bool, options: tuple[str, ...], numbers: int
) -> Form:
    if code:
        return "code"
    if options:
        return "option"
    if numbers and _NUMBER_WISH.search(text):
        return "number"
    if len(words) <= 3 or _BRIEF.search(text) or (_CLASSIFY.match(text) and len(words) < 60):
        return "short"
    return "polar" if words[0] in POLAR else "prose"


def _system_text(request: ChatRequest) -> str:
    """The beginning of the instructions and their end, where a tier's own are added."""
    text = "\n".join(m.text for m in request.messages if m.role in SYSTEM_ROLES)
    return text if len(text) <= READ_CHARS else f"{text[: READ_CHARS - 500]}\n{text[-500:]}"


def _options(text: str) -> tuple[str, ...]:
    letters = tuple(dict.fromkeys(_LETTERED.findall(text)))
    if len(letters) >= 2 and letters == tuple("ABCDEFGH"[: len(letters)]):
        return letters
    if _YES_NO.search(text):
        return ("Yes", "No")
    if _TRUE_FALSE.search(text):
        return ("True", "False")
    return _listed(text) if _CLASSIFY.search(text) else ()


def _listed(text: str) -> tuple[str, ...]:
    """The first list of at least two short labels after a word that announces one."""
    for found in _LISTED.finditer(text):
        parts = (p.strip(" \t:'\"`()[]{}") for p in _SPLIT.split(found[1]))
        labels = tuple(dict.fromkeys(p for p in parts if p))[:MAX_OPTIONS]
        if len(labels) >= 2 and all(len(p) <= 40 and p.count(" ") < 4 for p in labels):
            return labels
    return ()
