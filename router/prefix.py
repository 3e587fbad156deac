"""How a tier's stream is treated, and the judgement of its first tokens."""

from dataclasses import dataclass
from typing import Literal

from router.gate import judge_prefix
from router.plan import Plan, PlannedTier
from router.signals import PrefixSignals
from router.steps import CallTier
from router.validators.base import Validators
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk

EARLY_CHARS = 64
"""No stream that is judged commits on less text: a refusal needs that much to show itself, however
sure of it the model is.
"""


@dataclass(frozen=True, slots=True)
class Mode:
    """`flow`: as it comes. `prefix`: held until its first tokens are judged. `hold`: held until the
    whole answer passes.
    """

    kind: Literal["flow", "prefix", "hold"]
    reason: str


def mode_of(step: CallTier, plan: Plan, validators: Validators, request: ChatRequest) -> Mode:
    """How to treat the stream of this step."""
    if plan.measure_only:
        return Mode("flow", "only measured")
    if step.final:
        return Mode("flow", "nothing better would follow")
    if validators.needs_whole:
        return Mode("hold", "its checks need the whole answer")
    if request.choices_asked > 1:
        return Mode("hold", "several choices are judged together")
    if not plan.gated:
        return Mode("prefix", "not gated: judged on its opening words")
    return Mode("prefix", "judged on its first tokens")


@dataclass(frozen=True, slots=True)
class Judgement:
    """`cause` is given with `abort` only; a word for counting."""

    action: Literal["commit", "abort", "wait"]
    detail: str
    cause: str = ""


class PrefixJudge:
    """Sees the chunks of a held stream in their order."""

    def __init__(self, mode: Mode, planned: PlannedTier, validators: Validators) -> None:
        self._mode = mode
        self._gate = planned.gate
        self._validators = validators
        self._signals = PrefixSignals(planned.gate.window if planned.gate else 1)
        self._text = ""

    def see(self, chunk: Chunk) -> Judgement:
        """What to do with the stream now that `chunk` has come."""
        if self._mode.kind == "prefix":
            return self._judge(chunk)
        commits = self._mode.kind == "flow" and substantial(chunk)
        return Judgement("commit" if commits else "wait", self._mode.reason)

    def _judge(self, chunk: Chunk) -> Judgement:
        self._signals.add(chunk.logprobs or ())
        if not chunk.content:
            return Judgement("wait", "no text in it")
        self._text += chunk.content
        early = self._validators.check_prefix(self._text)
        if not early.passed:
            return Judgement("abort", early.reason, f"validator:{early.failures[0].kind}")
        signals = self._signals.signals
        enough = len(self._text) >= EARLY_CHARS
        if enough or signals is not None:
            found = judge_prefix(signals, self._gate)
            if enough or found.action != "commit":
                return Judgement(found.action, found.reason, "gate_prefix")
        return Judgement("wait", "its opening words")


def substantial(chunk: Chunk) -> bool:
    """It carries something of the answer, not only its opening or its end."""
    return bool(
        chunk.content
        or chunk.tool_calls
        or chunk.refusal
        or chunk.reasoning
        or chunk.provider_content
    )
