"""Breakpoints that cost nothing, where prompts are shared by their structure."""

from cache.prompt.chain import Breakpoint, Plan
from cache.prompt.seams import seams, with_seams
from tests.cache.prompt.helpers import chain_of, chat, rules, system, tool

QUESTION = {
    "role": "user",
    "content": [{"type": "text", "text": rules()}, {"type": "text", "text": "Why?"}],
}
CHAIN = chain_of(chat(system(rules()), QUESTION, tools=[tool("a"), tool("b")]))
END = len(CHAIN.blocks) - 1


def points(plan: Plan, live: int = -1, least: int = 0, chain: object = CHAIN) -> list[int]:
    made = with_seams(plan, CHAIN, seams(CHAIN, moved=False), live=live, least=least)
    assert made.reason == plan.reason
    return [p.index for p in made.breakpoints]


def plan(*indexes: int) -> Plan:
    return Plan(tuple(Breakpoint(i, "5m") for i in indexes), "why", 1, 2)


def test_system_prompt_then_opening_then_tools() -> None:
    assert seams(CHAIN, moved=False) == [2, 3, 1]
    assert seams(chain_of(chat("Why?")), moved=False) == []


def test_what_was_moved_to_the_end_is_not_shared() -> None:
    parts = [{"type": "text", "text": rules()}, {"type": "text", "text": "It is 10:03."}]
    chain = chain_of(chat(system(parts), "Why?"))
    assert seams(chain, moved=False) == [1]
    assert seams(chain, moved=True) == [0]


def test_they_are_added_within_what_is_written() -> None:
    assert points(plan(END)) == [1, 2, 3, 4]
    assert points(plan(2)) == [1, 2]
    assert points(plan()) == []


def test_never_more_than_four_breakpoints() -> None:
    assert points(plan(0, 1, END)) == [0, 1, 2, END]


def test_not_within_what_is_read_and_not_where_it_is_too_short() -> None:
    assert points(plan(END), live=2) == [3, END]
    assert points(plan(END), least=CHAIN.ends[1] + 1) == [2, 3, END]


def test_a_seam_lives_as_long_as_the_breakpoint_behind_it() -> None:
    long = Plan((Breakpoint(2, "1h"), Breakpoint(END, "5m")), "why")
    made = with_seams(long, CHAIN, seams(CHAIN, moved=False), live=-1, least=0)
    assert [p.ttl for p in made.breakpoints] == ["1h", "1h", "5m", "5m"]
