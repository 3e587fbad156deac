"""What the attempts of a conversation amount to, whoever adds them up."""

from itertools import permutations

import pytest

from router.known import MAX_FAILURE, MAX_STREAK, NOTHING, Known, TierRecord, learned
from serving.costs.past import AnswerOutcome, PastAttempt
from serving.wire.completion import Usage

CACHED = Usage(1_000, 50, cache_write_tokens=900)


def at(
    minute: float,
    tier: str,
    outcome: AnswerOutcome = "accepted",
    *,
    request: str | None = None,
    usage: Usage | None = None,
) -> PastAttempt:
    """An attempt of the request `r<minute>` unless another one is named."""
    started = 60.0 * minute
    name = request or f"r{int(minute)}"
    return PastAttempt(name, tier, outcome, started, usage or Usage(1_000, 50))


def test_nothing_is_known_of_a_conversation_without_attempts() -> None:
    assert learned([]) == NOTHING
    assert NOTHING.home is None
    assert not NOTHING.failing("small")


def test_the_home_is_the_tier_whose_answer_was_returned() -> None:
    known = learned([at(0, "small"), at(1, "small", "escalated"), at(1.1, "large", request="r1")])
    assert known.home == "large"
    assert known.last is not None
    assert known.last.first == "small"
    assert known.last.failed == {"small"}
    assert known.record("small").cold() == TierRecord(passes=1, failures=1, streak=1)
    assert known.record("top") == TierRecord()


def test_attempts_of_one_turn_may_come_in_any_order() -> None:
    turn = [
        at(1.0, "small", "escalated", request="r"),
        at(1.1, "large", "escalated", request="r"),
        at(1.2, "top", request="r"),
    ]
    found = {str(learned(order)): learned(order) for order in permutations(turn)}
    for known in found.values():
        assert known.home == "top"
        assert known.last is not None
        assert known.last.first == "small"
        assert known.last.failed == {"small", "large"}


def test_a_tier_that_served_well_is_forgiven_one_failure() -> None:
    good = [at(0, "small")]
    once = [*good, at(1, "small", "escalated"), at(1.1, "large", request="r1")]
    assert learned(once).failing("small"), "in its last turn"
    assert not learned(once).failing("large")
    then = [*once, at(2, "large")]
    assert not learned(then).failing("small")
    twice = [*then, at(3, "small", "escalated"), at(3.1, "large", request="r3"), at(4, "large")]
    assert learned(twice).record("small").streak == MAX_STREAK
    assert learned(twice).failing("small")
    assert not learned([*twice, at(5, "small"), at(6, "small")]).failing("small")


def test_a_tier_that_failed_at_once_is_not_tried_again() -> None:
    known = learned([at(0, "small", "escalated"), at(0.1, "large"), at(1, "large")])
    assert known.record("small").failure_share > MAX_FAILURE
    assert known.failing("small")


def test_a_best_effort_is_returned_and_still_did_not_pass() -> None:
    known = learned([at(0, "small", "escalated"), at(0.1, "large", "best_effort")])
    assert known.home == "large"
    assert known.failing("large")


def test_the_conversations_own_turns_soon_outweigh_the_prior() -> None:
    assert TierRecord().failure_share == pytest.approx(0.25)
    assert TierRecord(failures=1, streak=1).failure_share == pytest.approx(0.625)
    assert TierRecord(passes=9).failure_share == pytest.approx(0.025)


def test_what_a_tier_cached_is_known_by_tier() -> None:
    known = learned([at(0, "sonnet", usage=CACHED), at(1, "opus")])
    assert known.cached
    assert known.record("sonnet").warmth.left(200.0) == 900
    assert known.record("opus").warmth.left(200.0) == 0
    assert not known.cold().cached
    once = TierRecord(passes=1)
    assert known.cold() == Known(known.last, "opus", {"sonnet": once, "opus": once})
