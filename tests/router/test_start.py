"""Where the next turn of a conversation starts: it stays while it is served well, else says why."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.known import Known, TierRecord, Turn, learned
from router.start import Continuing, Option, Start, expected_costs
from router.warmth import Warmth
from serving.costs.past import PastAttempt
from serving.wire.completion import Usage

MARGIN = 0.25
TIERS = ("small", "large", "top")


def known(home: str | None, *failed: str, **records: TierRecord) -> Known:
    """`failed`: tiers whose answer did not pass in the last turn, in the order of asking."""
    start = failed[0] if failed else home
    turn = None if start is None else Turn("r", 0.0, start, frozenset(failed))
    return Known(turn, home, records)


def options(
    known: Known,
    costs: Sequence[float | None],
    warm: Mapping[str, int] | None = None,
    tiers: Sequence[str] = TIERS,
) -> list[Option]:
    return [
        Option(tier, cost, (warm or {}).get(tier, 0), known.record(tier))
        for tier, cost in zip(tiers, costs, strict=False)
    ]


def start(
    known: Known,
    *costs: float | None,
    warm: Mapping[str, int] | None = None,
    lowest: int = 0,
    margin: float = MARGIN,
    tiers: Sequence[str] = TIERS,
) -> Start:
    def missing(tier: str) -> str:
        return f"no {tier}"

    found = options(known, costs, warm, tiers)
    return Continuing(found, known, lowest=lowest, margin=margin, missing=missing).start()


def test_a_conversation_stays_where_its_last_turn_passed() -> None:
    found = start(known("small"), 1, 5, 20)
    assert found.index == 0
    assert found.note.decision == "stay: small"
    assert found.note.reason.startswith("its last turn passed; ")
    assert found.reason.startswith("the conversation stays: ")


def test_it_stays_at_a_dearer_tier_that_is_not_dearer_by_the_margin() -> None:
    """A price per attempt decides where nothing is known; here it would be `small`."""
    found = start(known("top"), 6, None, 10)
    assert found.note.decision == "stay: top"
    assert found.note.reason.startswith(
        "its last turn passed, and small at 8.5 USD is not 25% cheaper; 10 USD expected"
    )


def test_it_moves_where_another_tier_is_expected_to_cost_less_by_the_margin() -> None:
    found = start(known("top"), 1, None, 10)
    assert (found.index, found.note.decision) == (0, "switch: top -> small")
    reason = "small is cheaper: 10 USD at top; 3.5 USD expected, 0 prompt tokens warm"
    assert found.note.reason == reason
    assert start(known("top"), 1, None, 10, margin=1.0).note.decision == "stay: top"


def test_a_warm_prefix_holds_a_conversation_and_a_cold_one_lets_it_go() -> None:
    """After an outage of the cheaper tier: read at `top` against written at `large`."""
    record = TierRecord(passes=1, warmth=Warmth(9_000, 0, 0.0))
    there = known("top", top=record)
    held = start(there, 0.0045, 0.0035, warm={"large": 9_000}, tiers=("large", "top"))
    assert held.note.decision == "stay: top"
    gone = start(there, 0.0045, 0.0123, tiers=("large", "top"))
    assert gone.note.decision == "switch: top -> large"
    assert gone.note.reason == (
        "its prefix went cold: 0.0123 USD at top; 0.00758 USD expected, 0 prompt tokens warm"
    )


def test_after_an_escalation_it_starts_at_the_tier_that_served_it() -> None:
    found = start(known("top", "small", "large"), 1, 5, 20)
    assert (found.index, found.note.decision) == (2, "switch: small -> top")
    assert found.note.reason.startswith("the last turn did not pass at small; ")


def test_what_stands_below_a_failure_is_not_tried_either() -> None:
    """`large` failed and `top` served: `small`, which was not asked, is no way out."""
    found = start(known("top", "large"), 0.1, 5, 20)
    assert found.note.decision == "switch: large -> top"


def test_one_failure_of_a_tier_that_served_well_is_forgiven_but_not_two_in_a_row() -> None:
    once = known("top", small=TierRecord(passes=2, failures=1, streak=1))
    twice = known("top", small=TierRecord(passes=9, failures=2, streak=2))
    assert start(once, 0.01, None, 20).note.decision == "switch: top -> small"
    assert start(twice, 0.01, None, 20).note.decision == "stay: top"
    here = known("top", "small", small=TierRecord(passes=9, failures=2, streak=2))
    why = start(here, 0.01, None, 20).note.reason
    assert why.startswith("the last 2 turns did not pass at small; ")


def test_a_tier_that_failed_from_the_start_does_not_get_the_conversation_back() -> None:
    served = known("top", small=TierRecord(failures=1, streak=1))
    found = start(served, 0.01, None, 20)
    assert found.note.decision == "stay: top"
    assert found.note.reason.startswith("its last turn passed; ")


def test_a_best_effort_moves_up_where_anything_is_left() -> None:
    up = start(known("small", "small"), 1, 5, 20)
    assert (up.index, up.note.decision) == (1, "switch: small -> large")
    last = start(known("top", "small", "large", "top"), 1, 5, 20)
    assert (last.index, last.note.decision) == (2, "switch: small -> top")
    again = start(known("top", "top"), 1, 5, 20)
    assert again.note.decision == "stay: top"
    assert again.note.reason.startswith(
        "its last turn did not pass, but no other tier served it better"
    )


def test_a_tier_that_is_not_eligible_any_more_is_left_for_the_cheapest() -> None:
    found = start(known("gone"), 1, 5, 20)
    assert (found.index, found.note.decision) == (0, "switch: gone -> small")
    assert found.note.reason.startswith("gone cannot: no gone; ")


def test_no_conversation_goes_below_the_tasks_start() -> None:
    found = start(known("small"), 1, 5, 20, lowest=1)
    assert (found.index, found.note.decision) == (1, "switch: small -> large")
    assert found.note.reason.startswith("small stands below the task's start tier; ")
    assert start(known("top"), 0.001, 19, 20, lowest=1).note.decision == "stay: top"


def test_an_unknown_price_moves_nobody() -> None:
    assert start(known("top"), None, None, 20).note.decision == "stay: top"
    assert start(known("small"), None, 1, 2).note.decision == "stay: small"
    found = start(known("gone"), None, 1, 2)
    assert found.index == 0, "the config's order stands"
    assert "unknown USD expected" in found.note.reason


def test_the_expected_cost_of_a_tier_includes_that_of_an_escalation() -> None:
    records = {"small": TierRecord(passes=3), "large": TierRecord(failures=1, streak=1)}
    found = expected_costs(options(known(None, **records), (1, 4, 16)))
    assert found == pytest.approx([1 + 0.0625 * (4 + 0.625 * 16), 4 + 0.625 * 16, 16])


OUTCOMES = st.sampled_from(["accepted", "best_effort", "escalated"])
ATTEMPTS = st.builds(
    PastAttempt,
    st.sampled_from(["r1", "r2", "r3"]),
    st.sampled_from([*TIERS, "gone"]),
    OUTCOMES,
    st.floats(0, 1_000),
    st.builds(Usage, *[st.integers(0, 1_000)] * 5),
)
COSTS = st.one_of(st.none(), st.floats(0, 10))


@given(
    st.lists(ATTEMPTS, min_size=1),
    st.lists(COSTS, min_size=1, max_size=3),
    st.integers(0, 2),
    st.floats(0, 1),
)
def test_any_past_has_a_start_with_a_reason(
    past: list[PastAttempt], costs: list[float | None], lowest: int, margin: float
) -> None:
    lowest = min(lowest, len(costs) - 1)
    found = start(learned(past), *costs, lowest=lowest, margin=margin)
    assert lowest <= found.index < len(costs)
    assert found.note.reason
    stays = found.note.decision == f"stay: {TIERS[found.index]}"
    assert stays or found.note.decision.endswith(f" -> {TIERS[found.index]}")
