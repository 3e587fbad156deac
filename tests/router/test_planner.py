"""Which tiers a request may go to, and where it starts."""

from collections.abc import Sequence
from typing import Any

import pytest

from router.gate import GATE_OFF, NO_GATE, NO_LOGPROBS
from router.plan import Plan
from router.planner import ASKED_BY_NAME, BELOW_START, LAST_TIER, Planner
from router.rung import Rung
from serving.backend import Ability, Call
from serving.errors import Forbidden, InvalidRequest, NotFound
from serving.settings.tasks import TaskSettings
from serving.settings.tiers import OutputPolicy
from serving.wire.chat import ChatRequest
from tests.router.fakes import GATE, Ladder, make_call, make_request, make_task

TOOL = {"type": "function", "function": {"name": "look_up"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def three() -> list[Rung]:
    ladder = Ladder().add("small", price=0.1, gate=GATE).add("large", price=1, gate=GATE)
    return ladder.add("top", price=10).rungs


def plan(
    request: ChatRequest | None = None,
    task: TaskSettings | None = None,
    call: Call | None = None,
    rungs: Sequence[Rung] | None = None,
) -> Plan:
    planner = Planner(rungs or three())
    return planner.plan(request or make_request(), call or make_call(), task or make_task())


def climb(found: Plan) -> list[str]:
    return [t.tier for t in found.climb]


def test_starts_at_the_cheapest_tier_and_climbs() -> None:
    found = plan()
    assert climb(found) == ["small", "large", "top"]
    assert found.reason.startswith("cheapest by expected cost: $")
    assert (found.fallbacks, found.skipped) == ((), ())


def test_a_tier_that_costs_more_than_a_more_able_one_is_not_asked_first() -> None:
    ladder = Ladder().add("local-70b", price=5.0).add("haiku", price=1.0).add("opus", price=25.0)
    found = plan(rungs=ladder.rungs)
    assert climb(found) == ["haiku", "opus"]
    assert [t.tier for t in found.fallbacks] == ["local-70b"]
    assert [(s.tier, s.reason) for s in found.skipped] == [("local-70b", BELOW_START)]


def test_an_unknown_price_is_never_taken_for_a_low_one() -> None:
    ladder = Ladder().add("known", price=5.0).add("unknown", price=None).add("cheap", price=1.0)
    assert plan(rungs=ladder.rungs).start == "cheap"
    ladder = Ladder().add("unknown", price=None).add("cheap", price=1.0)
    found = plan(rungs=ladder.rungs)
    assert found.start == "unknown", "the config's order stands"
    assert "price is unknown" in found.reason


def test_a_task_may_start_higher_and_end_lower() -> None:
    found = plan(task=make_task(start="large"))
    assert climb(found) == ["large", "top"]
    assert [t.tier for t in found.fallbacks] == ["small"]
    assert climb(plan(task=make_task(max="large"))) == ["small", "large"]


def test_the_lowest_cap_wins_and_is_named() -> None:
    call = make_call(max_tier="large")
    request = make_request(stepwell={"max_tier": "small"})
    found = plan(request, make_task(max="large"), call)
    assert climb(found) == ["small"]
    assert [s.tier for s in found.skipped] == ["large", "top"]
    assert found.skipped[0].reason == "the request allows no tier above 'small'"


def test_a_start_above_the_cap_becomes_the_highest_allowed() -> None:
    found = plan(call=make_call(max_tier="small"), task=make_task(start="top"))
    assert climb(found) == ["small"]
    assert found.reason == "highest allowed below start tier 'top'"


def test_an_unknown_cap_names_the_known_tiers() -> None:
    with pytest.raises(InvalidRequest, match="no tier 'huge'; known: small, large, top") as raised:
        plan(make_request(stepwell={"max_tier": "huge"}))
    assert raised.value.param == "stepwell.max_tier"


def test_critical_tasks_are_pinned_to_the_most_expensive_allowed_tier() -> None:
    found = plan(task=make_task(critical=True))
    assert (climb(found), found.fallbacks) == (["top"], ())
    assert found.reason.startswith("critical")
    capped = plan(task=make_task(critical=True), call=make_call(max_tier="large"))
    assert climb(capped) == ["large"]


@pytest.mark.parametrize(
    ("fields", "lacking", "what"),
    [
        ({"tools": [TOOL]}, {"tools": False}, "tools"),
        ({"tools": [TOOL], "tool_choice": "required"}, {"forced_tool_choice": False}, "forced"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, {"images": False}, "images"),
        ({"n": 2}, {"multiple_choices": False}, "several choices"),
        ({"response_format": SCHEMA}, {"json_schema": False}, "JSON schemas"),
    ],
)
def test_a_tier_that_lacks_what_is_asked_is_skipped(
    fields: dict[str, Any], lacking: dict[str, Any], what: str
) -> None:
    able: dict[str, Any] = {"images": True, "multiple_choices": True}
    rungs = Ladder().add("unable", price=1, ability=Ability(**{**able, **lacking}))
    rungs.add("able", price=2, ability=Ability(**able))
    found = plan(make_request(**fields), rungs=rungs.rungs)
    assert climb(found) == ["able"]
    assert [s.tier for s in found.skipped] == ["unable"]
    assert what in found.skipped[0].reason
    with pytest.raises(InvalidRequest, match=f"unable: lacks.*{what}"):
        plan(make_request(**fields), rungs=rungs.rungs[:1])
    with pytest.raises(InvalidRequest, match=what):
        plan(make_request(model="unable", **fields), rungs=rungs.rungs)


def test_a_conversation_with_tool_results_needs_a_tier_with_tools() -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ]
    rungs = Ladder().add("plain", price=1, ability=Ability(tools=False)).add("full", price=2).rungs
    assert climb(plan(make_request(messages=messages), rungs=rungs)) == ["full"]


def test_a_prompt_that_does_not_fit_goes_to_a_tier_with_room() -> None:
    rungs = Ladder().add("narrow", price=1, context_tokens=256).add("wide", price=2).rungs
    long = make_request("many words here " * 200)
    assert climb(plan(long, rungs=rungs)) == ["wide"]
    brief = make_request("hello", max_tokens=10)
    assert climb(plan(brief, rungs=rungs)) == ["narrow", "wide"]
    wordy = Ladder().add("narrow", price=1, context_tokens=256, output=OutputPolicy(max_tokens=32))
    assert climb(plan(make_request("hello"), rungs=wordy.rungs)) == ["narrow"]


def test_a_tier_asked_for_by_name_answers_alone_and_ungated() -> None:
    for tier in ("large", "top"):
        found = plan(make_request(model=tier))
        assert climb(found) == [tier]
        assert (found.gated, found.climb[0].gate, found.reason) == (False, None, ASKED_BY_NAME)


def test_a_name_holds_against_the_tasks_cap_but_not_against_the_keys() -> None:
    asked = make_request(model="top")
    assert climb(plan(asked, make_task(max="small"))) == ["top"]
    with pytest.raises(Forbidden, match="the key or the request allows no tier above 'small'"):
        plan(asked, call=make_call(max_tier="small"))


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(
        NotFound, match="'gpt-9' does not exist; known: auto, small, large, top"
    ) as e:
        plan(make_request(model="gpt-9"))
    assert (e.value.code, e.value.param) == ("model_not_found", "model")


def test_gates_come_from_the_task_then_from_the_tier() -> None:
    own = GATE.model_copy(update={"min_mean": -0.1})
    found = plan(task=make_task(gates={"large": own}))
    assert [t.gate for t in found.climb] == [GATE, own, None]
    assert found.climb[-1].gate_reason == LAST_TIER


def test_what_is_not_gated_says_why() -> None:
    rungs = Ladder().add("none", price=1).add("mute", price=2, gate=GATE, ability=Ability())
    found = plan(rungs=rungs.add("top", price=3).rungs)
    assert [t.gate_reason for t in found.climb] == [NO_GATE, NO_LOGPROBS, LAST_TIER]
    off = plan(task=make_task(gate="off"))
    assert [t.gate_reason for t in off.climb] == [GATE_OFF, GATE_OFF, LAST_TIER]
    assert not off.gated


def test_the_reference_of_a_spot_check_keeps_to_what_the_client_allows() -> None:
    def reference(task: TaskSettings, call: Call | None = None, **fields: Any) -> str | None:
        return Planner(three()).reference(make_request(**fields), call or make_call(), task)

    named = make_task(spot_check={"share": 1, "reference": "large"})
    assert reference(make_task()) == "top"
    assert reference(named) == "large"
    assert reference(make_task(max="large")) == "large"
    assert reference(make_task(), make_call(max_tier="small")) == "small"
    assert reference(named, make_call(max_tier="small")) is None, "the prompt may not go there"
    assert reference(named, stepwell={"max_tier": "small"}) is None
    assert reference(make_task(), n=2) is None, "no tier can"
