"""What a whole answer is worth: the validators and the gate, over all its choices."""

from dataclasses import dataclass

from router.gate import GateDecision, judge
from router.plan import PlannedTier
from router.signals import of_choices
from router.steps import Answered
from router.validators.base import Failure, Validators, Verdict
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

DEFAULT_WINDOW = 8


@dataclass(frozen=True, slots=True)
class Assessment:
    """`confidence` is the mean logprob in nats per token, gated or not; None without logprobs."""

    verdict: Verdict
    gate: GateDecision
    confidence: float | None

    def answered(self, tier: str) -> Answered:
        verdict, gate = self.verdict, self.gate
        return Answered(
            tier,
            failed_checks=tuple(f.kind for f in verdict.failures),
            gate_accepts=gate.accept,
            detail=verdict.reason or gate.reason,
        )


def assess(
    validators: Validators,
    request: ChatRequest,
    completion: Completion,
    planned: PlannedTier,
    max_tokens: int,
) -> Assessment:
    """`max_tokens` is the lowest limit on the answer that Stepwell set. All choices must pass."""
    failures: dict[Failure, None] = {}
    for choice in completion.choices:
        verdict = validators.check(request, choice, tier_max_tokens=max_tokens)
        failures |= dict.fromkeys(verdict.failures)
    window = planned.gate.window if planned.gate is not None else DEFAULT_WINDOW
    signals = of_choices(completion.choices, window)
    gate = (
        judge(signals, planned.gate)
        if planned.gate is not None
        else GateDecision(accept=True, reason=planned.gate_reason)
    )
    confidence = signals.mean if signals is not None else None
    return Assessment(Verdict(not failures, tuple(failures)), gate, confidence)
