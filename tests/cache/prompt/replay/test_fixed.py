"""What habits mark, and what they cannot find again."""

import pytest

from cache.prompt.chain import Block, Plan, Ttl
from cache.prompt.replay.fixed import PLACEMENTS, Always, Never, Placement
from cache.prompt.rules import Billed, Shelf, ends_of


def chain(*names: str) -> list[Block]:
    keys = ["/".join(names[: i + 1]).encode() for i in range(len(names))]
    return [Block(key, 512, i) for i, key in enumerate(keys)]


class Habit:
    """Sends prompts as the habit plans them."""

    def __init__(self, placement: Placement, ttl: Ttl = "5m") -> None:
        self.shelf = Shelf(512, most=None)
        self.policy = Always(ttl, placement, self.shelf)

    def send(self, names: list[str], now: float) -> tuple[Plan, Billed]:
        blocks = chain(*names)
        plan = self.policy.plan(blocks, now)
        assert len(plan.breakpoints) <= 4
        billed = self.shelf.send(blocks, ends_of(blocks), plan.breakpoints, now)
        self.policy.observe(blocks, plan, now)
        return plan, billed


def names(*parts: tuple[str, int]) -> list[str]:
    return [f"{part}{i}" for part, count in parts for i in range(count)]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_the_whole_prompt_is_stored(placement: Placement, ttl: Ttl) -> None:
    plan, billed = Habit(placement, ttl).send(names(("a", 7)), 0.0)
    assert plan.breakpoints[-1].index == 6
    assert {point.ttl for point in plan.breakpoints} == {ttl}
    assert (billed.write_5m, billed.write_1h)[ttl == "1h"] == 7 * 512
    assert billed.plain == 0


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_conversation_is_read_on(placement: Placement) -> None:
    habit = Habit(placement)
    habit.send(names(("a", 30)), 0.0)
    _, billed = habit.send(names(("a", 30), ("b", 15)), 60.0)
    assert billed.read == 30 * 512


def test_only_memory_finds_where_prompts_part() -> None:
    """The third prompt shares 30 blocks with two that were longer by 40."""
    read = {}
    for placement in PLACEMENTS:
        habit = Habit(placement)
        for i, at in enumerate((0.0, 10.0, 20.0)):
            _, billed = habit.send(names(("shared", 30), (f"own {i} ", 70)), at)
        read[placement] = billed.read
    assert read == {"trailing": 0, "branching": 30 * 512}


def test_never_marks_nothing_and_short_prompts_have_nothing_to_mark() -> None:
    assert Never().plan(chain("a"), 0.0).breakpoints == ()
    for placement in PLACEMENTS:
        plan, _ = Habit(placement).send([], 0.0)
        assert plan.breakpoints == ()
        plan, _ = Habit(placement).send(["a"], 0.0)
        assert [point.index for point in plan.breakpoints] == [0]
