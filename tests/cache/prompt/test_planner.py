"""The planner alone: what it takes, what it keeps, how long it needs."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.prompt.chain import Block, Breakpoint, Plan
from cache.prompt.planner import PromptCachePlanner
from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage
from tests.cache.prompt.helpers import Clock, EndOfSystem, call, chat, notes, planner, rules, system

TEXT = {"type": "text", "text": "10:03"}

texts = st.text(max_size=6) | st.sampled_from(["", " ", "\ud800", "10:03", "{broken"])
extras = st.dictionaries(
    st.sampled_from(["cache_control", "prompt_cache_breakpoint", "odd"]),
    st.sampled_from([None, 1, {}, {"type": "ephemeral"}, {"mode": "explicit", "ttl": "12h"}]),
    max_size=1,
)
parts = st.one_of(
    st.builds(lambda text, more: {"type": "text", "text": text, **more}, texts, extras),
    st.builds(
        lambda kind, value: {"type": kind, kind: value},
        st.sampled_from(["image_url", "file", "refusal", "input_audio"]),
        st.sampled_from([None, 1, "x", {}, {"url": "https://x.test/a.png"}]),
    ),
)
calls = st.builds(
    lambda call_id, function: {"id": call_id, "type": "function", "function": function},
    st.sampled_from(["c1", "c2", ""]),
    st.none() | st.builds(lambda text: {"name": "find", "arguments": text}, texts),
)
messages = st.builds(
    lambda role, content, tools, carried, more: {
        "role": role, "content": content, "tool_calls": tools, "tool_call_id": "c1",
        "provider_content": carried, **more,
    },
    st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]),
    texts | st.lists(parts, max_size=3),
    st.none() | st.lists(calls, max_size=2),
    st.sampled_from([None, {}, {"provider": "anthropic", "content": [TEXT]}]),
    extras,
)  # fmt: skip
tools = st.lists(
    st.sampled_from(
        [
            {"type": "custom", "custom": {"name": "x"}},
            {"type": "function", "function": {"name": "a"}},
            {"type": "function", "function": {"name": "b", "parameters": {"required": "q"}}},
            {"type": "function", "function": {"name": "b", "parameters": {"properties": [1]}}},
        ]
    ),
    max_size=3,
)


class Everywhere(EndOfSystem):
    """Marks wherever it may."""

    def plan(self, chain: Any, now: float, *, scope: str = "") -> Plan:
        can = [i for i, block in enumerate(chain) if block.may_break]
        return Plan(tuple(Breakpoint(i, "5m") for i in can[-4:]), "everywhere")


def through(made: PromptCachePlanner, request: ChatRequest, read: int = 0) -> ChatRequest:
    """One call from its request to its usage; what would be sent."""
    found = made.read(request, call())
    departed = made.depart(found, made.decide(found))
    made.began(departed)
    made.ended(departed, Usage(found.chain.tokens, 5, cached_tokens=read), "msg_1")
    return departed.request


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.lists(messages, min_size=1, max_size=4), tools), min_size=1, max_size=4)
)
def test_it_takes_whatever_is_a_chat_request(bodies: list[tuple[list[Any], list[Any]]]) -> None:
    made = planner(Everywhere(), minimum=0, move_volatile=True)
    for body, offered in bodies:
        request = ChatRequest.model_validate({"model": "auto", "messages": body, "tools": offered})
        before = request.model_copy(deep=True)
        through(made, request, read=40)
        assert request == before


class Anywhere(EndOfSystem):
    """Also where nothing can be marked."""

    def plan(self, chain: Any, now: float, *, scope: str = "") -> Plan:
        return Plan(tuple(Breakpoint(i, "5m") for i in range(len(chain))), "all", 10, 20)


def test_a_breakpoint_where_none_can_stand_is_left_out() -> None:
    talk = {"role": "assistant", "content": "Yes.", "tool_calls": []}
    request = chat(system(rules()), "Hi", talk, "Why?", response_format={"type": "json_object"})
    made, to = planner(Anywhere()), call()
    read = made.read(request, to)
    departed = made.depart(read, made.decide(read))
    assert [p.index for p in departed.expected.points] == [0, 2, 3, 4]
    assert not read.chain.blocks[1].may_break
    assert departed.expected.planned_write == 20


def test_equal_content_leaves_as_equal_bytes_with_its_marks() -> None:
    made = planner(EndOfSystem(history=True))
    sent = {through(made, chat(system(rules()), "Hi")).model_dump_json() for _ in range(3)}
    assert len(sent) == 1


def test_the_policy_hears_of_every_call_at_its_time() -> None:
    policy, clock = EndOfSystem(), Clock()
    made = planner(policy, clock=clock)
    for _ in range(3):
        through(made, chat(system(rules()), "Hi"))
        clock.now += 7
    assert [now for _, now in policy.observed] == [1_000.0, 1_007.0, 1_014.0]
    assert {len(plan.breakpoints) for plan, _ in policy.observed} == {1}


def test_what_is_cold_and_what_is_wanted() -> None:
    made = planner(EndOfSystem(history=True))
    request = chat(system(rules()), "Hi")
    read = made.read(request, call())
    first = made.decide(read)
    blocks: tuple[Block, ...] = read.chain.blocks
    assert first.cold == (blocks[0].key, blocks[1].key)
    assert first.wanted == (blocks[1].key, blocks[0].key)
    through(made, request, read=100)
    again = made.read(chat(system(rules()), "Other?"), call())
    second = made.decide(again)
    assert second.cold == ()  # what is new is shorter than what is worth waiting for
    assert second.wanted == (again.chain.blocks[1].key,)


def test_without_a_feature_the_task_counts() -> None:
    made = planner()
    to = call(feature=None)
    assert made.read(chat(system(rules()), "Hi"), to).feature == "default"
    assert notes(to) == []
