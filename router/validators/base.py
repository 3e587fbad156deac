"""Deterministic validators of one request, compiled once and asked per answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.settings.validation import ValidatorSpec
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


class Validators:
    """Immutable; safe to share between requests and threads."""

    @classmethod
    def compile(
        cls, specs: Sequence[ValidatorSpec], request: ChatRequest | None = None
    ) -> "Validators":
        """`InvalidRequest` on a pattern or schema that is wrong or unbounded. With `request`, its
        tools' schemas are compiled (and refused) here and not at the first answer.
        """
        raise NotImplementedError

    @property
    def needs_whole(self) -> bool:
        """Some check can only be trusted on the whole answer: hold a stream until it passes."""
        raise NotImplementedError

    def check(
        self, request: ChatRequest, choice: Choice, *, tier_max_tokens: int | None = None
    ) -> Verdict:
        """Judge one answer to `request`, the client's own. `tier_max_tokens` is the lowest limit on
        output tokens that Stepwell set (tier or task), None where it set none.
        """
        raise NotImplementedError

    def check_prefix(self, text: str) -> Verdict:
        """Judge the beginning of an answer: fails only where no continuation could pass."""
        raise NotImplementedError
