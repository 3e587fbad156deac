"""Whether two answers to one request agree.

Pure. Texts are compared up to `MAX_CHARS` characters, since similarity takes time quadratic in
their length.
"""

import json
from dataclasses import dataclass
from typing import Any

from rapidfuzz import fuzz, utils

from router.validators.base import Validators
from serving.settings.tasks import SpotCheckSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice

MAX_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """`agreed` is None where the two cannot be compared."""

    agreed: bool | None
    reason: str

    @property
    def word(self) -> str:
        if self.agreed is None:
            return "unclear"
        return "agreed" if self.agreed else "disagreed"


def compare(
    cheap: Choice,
    reference: Choice,
    *,
    how: SpotCheckSettings,
    validators: Validators,
    request: ChatRequest,
) -> Comparison:
    """Judge the cheap answer by the reference's. A reference that fails the validators itself says
    nothing about texts; under `compare: validator` it does.
    """
    verdict = validators.check(request, reference)
    if how.compare == "validator":
        passed = validators.check(request, cheap).passed
        reason = f"cheap passes: {passed}, reference passes: {verdict.passed}"
        return Comparison(passed == verdict.passed, reason)
    if not verdict.passed:
        return Comparison(None, f"the reference fails {verdict.failures[0].kind}")
    if how.compare == "exact" or cheap.tool_calls or reference.tool_calls:
        return Comparison(_same_answer(cheap, reference), "exact")
    ratio = _similarity(cheap.content or "", reference.content or "")
    return Comparison(ratio >= how.min_similarity, f"similarity {ratio:.2f}")


def answer_text(choice: Choice) -> str:
    """The answer as text; tool calls as JSON lines under it."""
    calls = [json.dumps({"name": c.name, "arguments": c.arguments}) for c in choice.tool_calls]
    return "\n".join([*([choice.content] if choice.content else []), *calls])


def _similarity(cheap: str, reference: str) -> float:
    """Token-sort ratio in [0, 1]: case, punctuation and word order do not count."""
    a, b = cheap[:MAX_CHARS], reference[:MAX_CHARS]
    return fuzz.token_sort_ratio(a, b, processor=utils.default_process) / 100


def _same_answer(cheap: Choice, reference: Choice) -> bool:
    a = [(call.name, call.arguments) for call in cheap.tool_calls]
    b = [(call.name, call.arguments) for call in reference.tool_calls]
    if a or b:
        pairs = zip(a, b, strict=False)
        return len(a) == len(b) and all(x[0] == y[0] and _same_text(x[1], y[1]) for x, y in pairs)
    return _same_text(cheap.content or "", reference.content or "")


def _same_text(a: str, b: str) -> bool:
    """JSON on both sides is compared as values, other text without case and spacing."""
    try:
        return _same_value(json.loads(a), json.loads(b))
    except (ValueError, RecursionError):
        return " ".join(a.split()).casefold() == " ".join(b.split()).casefold()


def _same_value(a: Any, b: Any) -> bool:
    """As Python's equality, but true is not 1; text without case and spacing."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same_value(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same_value(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, str) and isinstance(b, str):
        return " ".join(a.split()).casefold() == " ".join(b.split()).casefold()
    return bool(a == b)
