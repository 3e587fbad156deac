"""Effort and room for thinking: what a tier's effort means for one model."""

from dataclasses import dataclass
from typing import Any

from serving.hosted.models import EFFORTS, Catalog, Effort, ModelAbility, ThinkingRules

NO_EFFORT = frozenset({"none"})
_FORCED = "reasoning_effort: thinking is off beside a forced tool_choice"
_SYNONYMS: dict[str, Effort] = {"minimal": "low"}


@dataclass(frozen=True, slots=True)
class ThinkingPlan:
    """`thinking` and `effort` as sent (None: not sent), the tokens of room that thinking needs
    above the answer's own limit, and what had to be changed.
    """

    thinking: dict[str, Any] | None
    effort: Effort | None
    room: int
    notes: tuple[str, ...] = ()


def plan_thinking(
    asked: str | None, ability: ModelAbility, catalog: Catalog, *, forced_tool: bool = False
) -> ThinkingPlan:
    """What to send for the effort `asked`: OpenAI's words (none, minimal … xhigh) or Anthropic's
    (low … max), None for the model's own default.
    """
    rules = ability.thinking
    room = catalog.thinking_room
    if asked in NO_EFFORT:
        return _off(rules, room)
    effort = _effort(asked)
    if effort is None:
        needed = room[rules.effort] if rules.on and rules.effort else 0
        note = f"reasoning_effort: {asked!r} is no effort, the default is used"
        return ThinkingPlan(None, None, needed, (note,) if asked is not None else ())
    if not rules.efforts:
        return _budget(effort, rules, forced_tool=forced_tool)
    sent = _nearest(effort, rules.efforts)
    notes = (f"reasoning_effort: {sent} for {asked}",) if sent != asked else ()
    if rules.on:
        return ThinkingPlan(None, sent, room[sent], notes)
    if forced_tool:  # to ask for thinking and to force a tool exclude each other
        return ThinkingPlan(None, sent, 0, (*notes, _FORCED))
    return ThinkingPlan({"type": "adaptive"}, sent, room[sent], notes)


def _effort(asked: str | None) -> Effort | None:
    if asked is None:
        return None
    known: dict[str, Effort] = {**{e: e for e in EFFORTS}, **_SYNONYMS}
    return known.get(asked)


def _nearest(effort: Effort, offered: tuple[Effort, ...]) -> Effort:
    """The highest offered effort that does not exceed the one asked for, else the lowest."""
    allowed = [e for e in offered if EFFORTS.index(e) <= EFFORTS.index(effort)]
    return max(allowed or offered[:1], key=EFFORTS.index)


def _off(rules: ThinkingRules, room: dict[Effort, int]) -> ThinkingPlan:
    if rules.off == "omit":
        return ThinkingPlan(None, None, 0)
    if rules.off is not None:
        limit, default = rules.off_max, rules.effort
        lower = limit and default and EFFORTS.index(default) > EFFORTS.index(limit)
        return ThinkingPlan({"type": rules.off}, limit if lower else None, 0)
    lowest = rules.efforts[0]
    note = f"reasoning_effort: this model always thinks; {lowest} for none"
    return ThinkingPlan(None, lowest, room[lowest], (note,))


def _budget(effort: Effort, rules: ThinkingRules, *, forced_tool: bool) -> ThinkingPlan:
    """A model without efforts: a fixed budget of thinking tokens, where it has one."""
    budget = rules.budgets.get(effort)
    if budget is None:
        return ThinkingPlan(None, None, 0, ("reasoning_effort: not supported by this model",))
    if forced_tool:
        return ThinkingPlan(None, None, 0, (_FORCED,))
    return ThinkingPlan({"type": "enabled", "budget_tokens": budget}, None, budget)
