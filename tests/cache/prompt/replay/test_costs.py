"""Bounds that hold on traffic of any kind: the planner is never far behind the best habit in
hindsight, and well ahead where there is something to gain. The seeds were not used to tune it.
"""

import random

import pytest

from cache.prompt.replay.costs import Costs, Terms, replay
from cache.prompt.replay.trace import Trace
from tests.cache.prompt.replay import traces
from tests.cache.prompt.replay.measure import (
    DATA,
    Change,
    Measured,
    as_it_is,
    of_kind,
    recorded,
    slower,
    terms,
    trace,
    unshared,
)

DEARER = 0.01
THIRD = 1 / 3


def ordered(costs: Costs) -> None:
    """Who knows more pays less, and each prompt token is billed once."""
    fixed = (costs.none, costs.always_5m, costs.always_1h)
    assert costs.bound <= costs.oracle.usd <= min(total.usd for total in (*fixed, costs.planned))
    tokens = {
        total.plain + total.read + total.write_5m + total.write_1h
        for total in (*fixed, costs.planned, costs.oracle)
    }
    assert len(tokens) == 1


@pytest.mark.parametrize(
    "kind", [traces.shared, traces.bursts, traces.drifting, traces.day_and_night, traces.abandoned]
)
def test_reuse_that_can_be_learned_is_used(kind: traces.Kind) -> None:
    measured = Measured.of(of_kind(kind, 1_001, most=1_200))
    ordered(measured.costs)
    assert measured.over <= DEARER
    assert measured.gap > 0.02
    assert measured.closed >= THIRD


@pytest.mark.parametrize("kind", [traces.chats, traces.tools, traces.documents, traces.unique])
def test_the_planner_is_never_far_behind_the_best_habit(kind: traces.Kind) -> None:
    """When a conversation ends nobody can know; here a habit is good already."""
    measured = Measured.of(of_kind(kind, 1_002, most=800))
    ordered(measured.costs)
    assert measured.over <= DEARER


def test_a_model_that_stores_only_long_prompts() -> None:
    measured = Measured.of(of_kind(traces.bursts, 1_003), "claude-haiku-4-5")
    ordered(measured.costs)
    assert measured.over <= DEARER


def test_the_planner_sees_only_the_past() -> None:
    """What it did so far does not change with what comes."""
    rows = traces.lines(traces.bursts(random.Random(7)), random.Random(7))
    usd, first = [], replay(trace(rows[:150]), terms()).planned
    for tail in (rows[150:300], [{**row, "prefix_blocks": []} for row in rows[150:300]]):
        made = trace([*rows[:150], *tail])
        seen: list[int] = []
        costs = replay(made, terms(), advanced=lambda seen=seen: seen.append(1))  # type: ignore[misc]
        assert len(seen) == len(made)
        usd.append(costs.planned.usd)
    assert all(first.usd < total for total in usd)
    alone = replay(trace([{**row, "prefix_blocks": []} for row in rows[150:300]]), terms()).none
    assert usd[1] == first.usd + alone.usd


def test_answers_that_take_their_time_to_begin_cost_more() -> None:
    made = of_kind(traces.agents, 1_004, most=150)
    at_once, slow = terms(), terms()
    slow = Terms(slow.price, slow.minimum, begins_s=20.0)
    assert replay(made, at_once).planned.usd < replay(made, slow).planned.usd
    ordered(replay(made, slow))


@pytest.mark.skipif(DATA is None, reason="STEPWELL_TEST_DATA is not set: no recorded trace")
@pytest.mark.parametrize(
    ("change", "closes"), [(as_it_is, True), (slower, True), (unshared, False)]
)
def test_the_recorded_trace(change: Change, *, closes: bool) -> None:
    measured = Measured.of(recorded(change))
    ordered(measured.costs)
    assert measured.over <= DEARER
    assert not closes or measured.closed >= THIRD


def test_times_may_be_equal_or_in_any_order() -> None:
    rows = traces.lines(traces.bursts(random.Random(3)), random.Random(3))[:200]
    shuffled = rows.copy()
    random.Random(4).shuffle(shuffled)
    assert replay(trace(rows), terms()) == replay(trace(shuffled), terms())
    together = Trace()
    for _ in range(5):
        together.add(0.0, 1_024, 1, ["a", "b"])
    costs = replay(together, terms())
    assert costs.always_5m.read == 4 * 1_024
