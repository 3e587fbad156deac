"""Deterministic validators of one request, compiled once and asked per answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.validators.answer import Answer, Check
from router.validators.pattern import RegexCheck
from router.validators.refusal import RefusalCheck
from router.validators.repetition import RepetitionCheck
from router.validators.structure import JsonCheck, JsonSchemaCheck, ToolArgumentsCheck
from router.validators.text import EmptyCheck, LengthCheck, TruncationCheck, WordsCheck
from serving.settings.validation import (
    Json,
    JsonSchema,
    Length,
    NoRefusal,
    NoRepetition,
    NotEmpty,
    NotTruncated,
    Regex,
    ValidatorSpec,
    Words,
)
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that failed. `kind` is the spec's kind; `reason` quotes nothing of the answer."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: bool
    failures: tuple[Failure, ...] = ()

    @property
    def reason(self) -> str:
        """The failures in one line, empty where it passed."""
        return "; ".join(f"{f.kind}: {f.reason}" for f in self.failures)


@dataclass(frozen=True, slots=True)
class Validators:
    """Immutable; safe to share between requests and threads."""

    checks: tuple[Check, ...] = ()

    @classmethod
    def compile(
        cls, specs: Sequence[ValidatorSpec], request: ChatRequest | None = None
    ) -> "Validators":
        """`InvalidRequest` on a pattern or schema that is wrong or unbounded. With `request`, its
        tools' schemas are compiled (and refused) here and not at the first answer.
        """
        return cls(tuple(_check(spec, request) for spec in specs))

    @property
    def needs_whole(self) -> bool:
        """Some check can only be trusted on the whole answer: hold a stream until it passes."""
        return any(check.whole for check in self.checks)

    def check(
        self, request: ChatRequest, choice: Choice, *, tier_max_tokens: int | None = None
    ) -> Verdict:
        """Judge one answer to `request`, the client's own. `tier_max_tokens` is the lowest limit on
        output tokens that Stepwell set (tier or task), None where it set none.
        """
        answer = Answer(request, choice, tier_max_tokens)
        return _verdict([(check.kind, check.check(answer)) for check in self.checks])

    def check_prefix(self, text: str) -> Verdict:
        """Judge the beginning of an answer's text: fails only where no continuation could pass."""
        return _verdict([(check.kind, check.prefix(text)) for check in self.checks])


def _verdict(reasons: Sequence[tuple[str, str | None]]) -> Verdict:
    failures = tuple(Failure(kind, reason) for kind, reason in reasons if reason is not None)
    return Verdict(not failures, failures)


def _check(spec: ValidatorSpec, request: ChatRequest | None) -> Check:  # noqa: PLR0911 one per kind
    match spec:
        case NotEmpty():
            return EmptyCheck()
        case NotTruncated():
            return TruncationCheck()
        case NoRefusal():
            return RefusalCheck()
        case NoRepetition():
            return RepetitionCheck(spec)
        case Json():
            return JsonCheck(spec)
        case JsonSchema():
            return JsonSchemaCheck.of(spec)
        case Regex():
            return RegexCheck.of(spec)
        case Length():
            return LengthCheck(spec)
        case Words():
            return WordsCheck.of(spec)
        case _:
            return ToolArgumentsCheck.of(request)
