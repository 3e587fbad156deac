"""The confidence gate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.gate import GATE_OFF, NO_GATE, NO_LOGPROBS, gate_for, judge, judge_prefix
from router.signals import PrefixSignals, Signals, of_tokens
from serving.settings.tasks import TaskSettings
from serving.settings.tiers import GateSettings, MockEngine, TierSettings
from serving.wire.completion import TokenLogprob

GATE = GateSettings(
    min_mean=-0.5,
    min_window=-1.5,
    window=4,
    prefix_tokens=4,
    prefix_max_tokens=8,
    commit_mean=-0.3,
    abort_mean=-0.9,
)


@pytest.mark.parametrize(
    ("signals", "accept", "says"),
    [
        (Signals(-0.2, -0.4, 20), True, "mean logprob -0.200 over 20 tokens >= -0.500"),
        (Signals(-0.5, -1.5, 20), True, ">= -0.500"),
        (Signals(-0.51, -0.6, 20), False, "< -0.500"),
        (Signals(-0.2, -1.6, 20), False, "lowest window of 4 tokens -1.600 < -1.500"),
    ],
)
def test_thresholds_decide_and_are_named(signals: Signals, accept: bool, says: str) -> None:
    found = judge(signals, GATE)
    assert found.accept is accept
    assert says in found.reason
    assert found.score == signals.mean


def test_an_uncalibrated_gate_says_so() -> None:
    guessed = judge(Signals(-0.1, -0.1, 9), GATE)
    assert not guessed.calibrated
    assert guessed.reason.endswith("(gate not calibrated)")
    fitted = judge(Signals(-0.1, -0.1, 9), GATE.model_copy(update={"calibrated": True}))
    assert fitted.calibrated
    assert "calibrated" not in fitted.reason


@pytest.mark.parametrize(
    ("signals", "gate", "enabled", "reason"),
    [
        (None, GATE, True, NO_LOGPROBS),
        (Signals(-9, -9, 9), None, True, NO_GATE),
        (Signals(-9, -9, 9), GATE, False, GATE_OFF),
    ],
)
def test_what_is_not_gated_is_accepted_and_says_why(
    signals: Signals | None, gate: GateSettings | None, enabled: bool, reason: str
) -> None:
    found = judge(signals, gate, enabled=enabled)
    assert (found.accept, found.reason, found.score, found.calibrated) == (
        True,
        reason,
        None,
        False,
    )
    assert judge_prefix(signals, gate, enabled=enabled).action == "commit"


@pytest.mark.parametrize(
    ("signals", "ended", "action"),
    [
        (Signals(0.0, 0.0, 3), False, "wait"),  # too few tokens, however sure
        (Signals(-0.3, -0.3, 4), False, "commit"),
        (Signals(-0.31, -0.4, 4), False, "wait"),  # neither sure nor unsure
        (Signals(-0.9, -1.0, 4), False, "wait"),
        (Signals(-0.91, -1.0, 4), False, "abort"),
        (Signals(-0.2, -1.6, 6), False, "abort"),  # the whole answer would fail on this window
        (Signals(-0.45, -0.5, 8), False, "commit"),  # at the last prefix token: as a whole answer
        (Signals(-0.55, -0.6, 8), False, "abort"),
        (Signals(-0.45, -0.5, 2), True, "commit"),  # ended early: as a whole answer
        (Signals(-0.55, -0.6, 2), True, "abort"),
    ],
)
def test_a_prefix_commits_aborts_or_waits(signals: Signals, ended: bool, action: str) -> None:
    found = judge_prefix(signals, GATE, ended=ended)
    assert found.action == action
    assert found.score == signals.mean


LOGPROBS = st.lists(st.floats(min_value=-4, max_value=0), min_size=1, max_size=20)


@given(LOGPROBS)
def test_a_stream_is_decided_by_its_last_prefix_token(values: list[float]) -> None:
    so_far = PrefixSignals(GATE.window)
    actions = []
    for value in values:
        so_far.add([TokenLogprob("t", value)])
        actions.append(judge_prefix(so_far.signals, GATE).action)
    assert set(actions[: GATE.prefix_tokens - 1]) <= {"wait"}
    assert "wait" not in actions[GATE.prefix_max_tokens - 1 :]


@given(LOGPROBS)
def test_a_window_that_aborts_a_stream_would_fail_the_whole_answer(values: list[float]) -> None:
    so_far = PrefixSignals(GATE.window)
    aborted = False
    for value in values:
        so_far.add([TokenLogprob("t", value)])
        found = judge_prefix(so_far.signals, GATE)
        aborted |= found.action == "abort" and "lowest window" in found.reason
    whole = of_tokens([TokenLogprob("t", v) for v in values], GATE.window)
    if aborted:
        assert not judge(whole, GATE).accept


def test_the_task_replaces_the_tiers_thresholds() -> None:
    own = GateSettings(min_mean=-0.1)
    tier = TierSettings(name="small", model="m", backend=MockEngine(engine="mock"), gate=GATE)
    assert gate_for(tier, TaskSettings(name="t")) is GATE
    assert gate_for(tier, TaskSettings(name="t", gates={"small": own})) == own
    ungated = tier.model_copy(update={"gate": None})
    assert gate_for(ungated, TaskSettings(name="t")) is None
