"""Stored questions count together, as far as their answers are known to agree."""

from dataclasses import replace

import pytest

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.semantic.answer import Answer
from serving.settings.tasks import TaskSettings
from serving.wire.completion import Choice
from tests.cache.semantic.world import World, task, world

NEAR = ("card payment declined", "card payment declined today", "card payment declined twice")
ASKED = "card payment declined abroad"
STRICT = task(delta=0.0001)
"""Nothing but the same text is good enough, so that all is stored."""


async def filled(w: World, answers: tuple[str, ...]) -> list[int | None]:
    """The groups of the answers, in their order."""
    for text, answer in zip(NEAR, answers, strict=True):
        w.inner.choices = (Choice(content=answer),)
        await w.ask(text)
    stored = sorted(w.memory.shelf._rack.kept.ids())
    return [w.memory.shelf.groups.of(one) for one in stored]


async def score(w: World) -> tuple[float, str]:
    """Of the best candidate for another question, and how it came about."""
    _, call = await w.ask(ASKED)
    (note,) = (d.reason for d in call.trace.decisions if d.stage == "semantic")
    return float(note.split("score ")[1].split()[0]), note


async def test_neighbours_that_agree_raise_the_score_and_others_lower_it() -> None:
    async with world(STRICT) as agreeing, world(STRICT) as split:
        assert len(set(await filled(agreeing, ("Ask.", "Ask.", "Ask.")))) == 1
        assert len(set(await filled(split, ("Ask.", "Wait.", "Pay.")))) == 3
        high, why = await score(agreeing)
        low, _ = await score(split)
        assert high > low
        assert "its neighbours +" in why


async def test_what_is_gone_counts_no_more() -> None:
    async with world(STRICT) as w:
        await filled(w, ("Ask.", "Ask.", "Wait."))
        shelf = w.memory.shelf
        assert len(shelf.groups) == shelf.stats().entries == 3
        first = min(shelf._rack.kept.ids())
        await w.memory.evict("r1")
        assert shelf.groups.of(first) is None
        assert len(shelf.groups) == shelf.stats().entries == 2
        shelf.compared(max(shelf._rack.kept.ids()), [first], [])
        assert len(shelf.groups) == 2


async def test_a_fresh_answer_is_compared_with_one_of_each_group() -> None:
    async with world(STRICT) as w:
        await filled(w, ("Ask.", "Ask.", "Wait."))
        compared: list[str | None] = []
        right = w.memory._agreement.right

        async def counting(stored: Answer, fresh: Answer, task: TaskSettings) -> bool | None:
            compared.append(stored.completion.first.content)
            return await right(stored, fresh, task)

        w.memory._agreement.right = counting  # type: ignore[method-assign]
        w.inner.choices = (replace(w.inner.choices[0], content="Ask."),)
        await w.ask(ASKED)
        assert sorted(filter(None, compared)) == ["Ask.", "Wait."]
