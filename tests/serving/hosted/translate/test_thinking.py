from typing import Any

import pytest

from serving.hosted.models import catalog
from serving.hosted.translate.thinking import ThinkingPlan, plan_thinking
from tests.serving.hosted.fakes import HAIKU, OLD_HAIKU, OPUS, SONNET, SONNET_5

ROOM = catalog().thinking_room


def plan(asked: str | None, model: str, **options: Any) -> ThinkingPlan:
    return plan_thinking(asked, catalog().ability(model), catalog(), **options)


@pytest.mark.parametrize(
    ("model", "room"),
    [
        (OPUS, ROOM["medium"]),
        (SONNET, ROOM["high"]),
        (HAIKU, ROOM["medium"]),
        ("claude-opus-4-8", 0),
        (OLD_HAIKU, 0),
    ],
)
def test_the_default_leaves_room_where_the_model_thinks_unasked(model: str, room: int) -> None:
    assert plan(None, model) == ThinkingPlan(None, None, room)


@pytest.mark.parametrize(
    ("model", "thinking", "effort", "room"),
    [
        (SONNET, {"type": "between_tools"}, None, 0),
        (HAIKU, {"type": "disabled"}, None, 0),
        (SONNET_5, {"type": "disabled"}, None, 0),
        ("claude-opus-4-8", None, None, 0),
        (OLD_HAIKU, None, None, 0),
        (OPUS, None, "low", ROOM["low"]),
    ],
)
def test_none_turns_thinking_off_as_the_model_allows(
    model: str, thinking: Any, effort: Any, room: int
) -> None:
    found = plan("none", model)
    assert (found.thinking, found.effort, found.room) == (thinking, effort, room)
    assert bool(found.notes) == (model == OPUS)


@pytest.mark.parametrize(
    ("asked", "model", "effort"),
    [
        ("minimal", OPUS, "low"),
        ("high", OPUS, "high"),
        ("max", OPUS, "max"),
        ("xhigh", "claude-sonnet-4-6", "high"),
        ("max", "claude-opus-6", "high"),
    ],
)
def test_an_effort_that_a_model_lacks_is_the_next_lower(
    asked: str, model: str, effort: str
) -> None:
    found = plan(asked, model)
    assert found.effort == effort
    assert bool(found.notes) == (asked != effort)


def test_a_model_that_does_not_think_unasked_is_told_to() -> None:
    assert plan("low", "claude-opus-4-8").thinking == {"type": "adaptive"}
    assert plan("low", OPUS).thinking is None


def test_a_model_without_efforts_gets_a_budget_and_room_for_it() -> None:
    found = plan("medium", OLD_HAIKU)
    assert found == ThinkingPlan({"type": "enabled", "budget_tokens": 4_096}, None, 4_096)


def test_a_budget_and_a_forced_tool_exclude_each_other() -> None:
    found = plan("medium", OLD_HAIKU, forced_tool=True)
    assert (found.thinking, found.room) == (None, 0)
    assert found.notes


def test_thinking_that_is_asked_for_and_a_forced_tool_exclude_each_other() -> None:
    found = plan("high", "claude-opus-4-8", forced_tool=True)
    assert (found.thinking, found.effort, found.room) == (None, "high", 0)
    assert found.notes
    assert plan("high", HAIKU, forced_tool=True) == plan("high", HAIKU)  # it thinks unasked


def test_a_word_that_is_no_effort_is_named() -> None:
    found = plan("enormous", OPUS)
    assert (found.effort, found.room) == (None, ROOM["medium"])
    assert "enormous" in found.notes[0]
