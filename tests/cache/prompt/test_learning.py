"""What usage teaches the policy and the records of what is stored."""

from typing import Any

from cache.prompt.calls import Departed
from cache.prompt.planner import PromptCachePlanner
from serving.wire.completion import Usage
from tests.cache.prompt.helpers import Clock, EndOfSystem, call, chat, planner, rules, system

REQUEST = chat(system(rules()), "Why?")


def depart(made: PromptCachePlanner) -> Departed:
    read = made.read(REQUEST, call())
    return made.depart(read, made.decide(read))


def finish(made: PromptCachePlanner, read: int = 0, written: int = 0, **usage: Any) -> str:
    departed = depart(made)
    made.began(departed)
    tokens = departed.read.chain.tokens
    counts = Usage(tokens, 5, cached_tokens=read, cache_write_tokens=written, **usage)
    return made.ended(departed, counts, "msg_1").outcome


def test_an_answer_that_never_began_stored_nothing() -> None:
    policy = EndOfSystem()
    made = planner(policy)
    made.failed(depart(made))
    assert policy.corrected == [0]
    assert finish(made, written=900) == "first_write"
    made.failed(depart(made))
    assert policy.corrected == [0, depart(made).read.chain.ends[0]]


def test_what_the_api_did_not_store_is_forgotten() -> None:
    policy = EndOfSystem()
    made = planner(policy)
    assert finish(made) == "too_short"
    assert policy.corrected == [0]
    assert finish(made, written=900) == "first_write"
    assert finish(made, read=900) == "hit"


def test_an_eviction_leaves_what_was_written_anew() -> None:
    policy, clock = EndOfSystem(), Clock()
    made = planner(policy, clock=clock)
    assert finish(made, written=900) == "first_write"
    clock.now += 200
    assert finish(made, written=900) == "evicted"
    assert policy.corrected == [0]
    clock.now += 200
    assert finish(made, read=900) == "hit"


def test_tokens_are_corrected_by_what_the_model_counts() -> None:
    made = planner()
    before = depart(made).read.chain.tokens
    for _ in range(5):
        departed = depart(made)
        made.ended(departed, Usage(2 * before, 5), "msg_1")
    assert 1.8 * before < depart(made).read.chain.tokens <= 2 * before
