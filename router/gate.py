"""The confidence gate: accept or escalate an answer by the tier's own token logprobs.

Pure functions; thresholds stand in `GateSettings`. The last tier has nowhere to escalate to, so
its answers are not put before the gate (the cascade's matter).
"""

from dataclasses import dataclass
from typing import Literal

from router.signals import Signals
from serving.settings.tasks import TaskSettings
from serving.settings.tiers import GateSettings, TierSettings

NO_LOGPROBS = "no logprobs: judged by validators only"
GATE_OFF = "the gate is off for this task"
NO_GATE = "the tier has no gate: judged by validators only"


@dataclass(frozen=True, slots=True)
class GateDecision:
    """`score` is the answer's mean logprob in nats per token, None where no threshold was applied.
    `calibrated`: the thresholds that decided were fitted on this tier's outcomes; False also where
    none decided.
    """

    accept: bool
    reason: str
    score: float | None = None
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class PrefixDecision:
    """What to do with a stream after its first tokens; fields as in `GateDecision`."""

    action: Literal["commit", "abort", "wait"]
    reason: str
    score: float | None = None
    calibrated: bool = False


def gate_for(tier: TierSettings, task: TaskSettings) -> GateSettings | None:
    """The task's thresholds for this tier, else the tier's own, None where neither has any."""
    return task.gates.get(tier.name, tier.gate)


def judge(
    signals: Signals | None, gate: GateSettings | None, *, enabled: bool = True
) -> GateDecision:
    """Judge a whole answer. `enabled` is false where the task has `gate: off`."""
    if (free := _ungated(signals, gate, enabled)) is not None:
        return GateDecision(accept=True, reason=free)
    assert signals is not None
    assert gate is not None
    failed = _failed(signals, gate)
    reason = failed or f"{_mean(signals)} >= {gate.min_mean:.3f}"
    return GateDecision(failed is None, _named(reason, gate), signals.mean, gate.calibrated)


def judge_prefix(
    signals: Signals | None,
    gate: GateSettings | None,
    *,
    enabled: bool = True,
    ended: bool = False,
) -> PrefixDecision:
    """Judge the tokens of a stream so far; `ended` says that no more will come, which never yields
    "wait". Pass no signals only for a tier that gives no logprobs, not for "none so far".

    The lowest window can only fall, so once it is below `min_window` the whole answer would fail
    and the stream aborts. At `prefix_max_tokens` what is neither sure nor unsure is judged by the
    thresholds for whole answers.
    """
    if (free := _ungated(signals, gate, enabled)) is not None:
        return PrefixDecision("commit", free)
    assert signals is not None
    assert gate is not None
    action, reason = _prefix(signals, gate, ended)
    return PrefixDecision(action, _named(reason, gate), signals.mean, gate.calibrated)


def _prefix(
    signals: Signals, gate: GateSettings, ended: bool
) -> tuple[Literal["commit", "abort", "wait"], str]:
    if signals.tokens < gate.prefix_tokens and not ended:
        return "wait", f"{signals.tokens} of {gate.prefix_tokens} tokens"
    if ended or signals.tokens >= gate.prefix_max_tokens:
        failed = _failed(signals, gate)
        return ("commit", f"{_mean(signals)} passes") if failed is None else ("abort", failed)
    if signals.tokens >= gate.window and signals.min_window < gate.min_window:
        return "abort", _window(signals, gate)
    if signals.mean >= gate.commit_mean:
        return "commit", f"{_mean(signals)} >= {gate.commit_mean:.3f}"
    if signals.mean < gate.abort_mean:
        return "abort", f"{_mean(signals)} < {gate.abort_mean:.3f}"
    return "wait", f"{_mean(signals)} is between {gate.abort_mean:.3f} and {gate.commit_mean:.3f}"


def _ungated(signals: Signals | None, gate: GateSettings | None, enabled: bool) -> str | None:
    """Why no threshold applies, None where one does."""
    if not enabled:
        return GATE_OFF
    if gate is None:
        return NO_GATE
    return NO_LOGPROBS if signals is None else None


def _failed(signals: Signals, gate: GateSettings) -> str | None:
    if signals.mean < gate.min_mean:
        return f"{_mean(signals)} < {gate.min_mean:.3f}"
    return _window(signals, gate) if signals.min_window < gate.min_window else None


def _mean(signals: Signals) -> str:
    return f"mean logprob {signals.mean:.3f} over {signals.tokens} tokens"


def _window(signals: Signals, gate: GateSettings) -> str:
    return f"lowest window of {gate.window} tokens {signals.min_window:.3f} < {gate.min_window:.3f}"


def _named(reason: str, gate: GateSettings) -> str:
    return reason if gate.calibrated else f"{reason} (gate not calibrated)"
