"""Plans for a request that goes on with a conversation."""

from dataclasses import replace
from typing import Any

from router.known import Past, learned
from router.plan import Plan
from router.planner import ASKED_BY_NAME, PINNED, Planner
from router.rung import Rung
from serving.backend import Ability
from serving.costs.past import AnswerOutcome, PastAttempt
from serving.costs.rate_card import RateCard
from serving.settings.tasks import TaskSettings
from serving.wire.completion import Usage
from tests.router.fakes import GATE, Ladder, make_call, make_request, make_task

NOW = 1_800_000_000.0
NEW = 20
QUESTION = "And what does it cost? "
LONG = "It is a long story of many words. " * 2_000
CARD = RateCard.load()


def claude() -> list[Rung]:
    """A cheap local tier and two hosted ones with the card's prices."""
    ladder = Ladder().add("small", price=0.05, gate=GATE)
    able = Ability(images=True)
    small, sonnet, opus = ladder.add("sonnet", ability=able).add("opus", ability=able).rungs
    return [
        small,
        replace(sonnet, price=CARD.price("claude-sonnet-5-5")),
        replace(opus, price=CARD.price("claude-opus-5-5")),
    ]


def turn(
    tier: str, outcome: AnswerOutcome = "accepted", *, ago_s: float = 60, usage: Usage | None = None
) -> PastAttempt:
    """Of a request of its own."""
    return PastAttempt(f"r{ago_s}", tier, outcome, NOW - ago_s, usage or Usage(20_000, 50))


def plan(*turns: PastAttempt, task: TaskSettings | None = None, **fields: Any) -> Plan:
    """Of the next turn, after a long prompt; `fields` are the request's."""
    margin = fields.pop("margin", 0.1)
    call = make_call(max_tier=fields.pop("max_tier", None))
    messages = [
        {"role": "user", "content": LONG},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": QUESTION},
    ]
    request = make_request(**{"messages": messages, **fields})
    past = Past(learned(turns), NOW, NEW) if turns else None
    return Planner(claude(), margin=margin).plan(request, call, task or make_task(), past)


def climb(found: Plan) -> list[str]:
    return [t.tier for t in found.climb]


def said(found: Plan) -> str:
    assert found.conversation is not None
    return found.conversation.decision


def why(found: Plan) -> str:
    assert found.conversation is not None
    return found.conversation.reason


def warm_tokens(found: Plan) -> int:
    return int(why(found).split(" expected, ")[1].split()[0])


CACHED = Usage(20_000, 50, cache_write_tokens=19_900)


def test_without_a_past_nothing_is_said_of_a_conversation() -> None:
    found = plan()
    assert found.start == "small"
    assert found.reason.startswith("cheapest by expected cost")
    assert found.conversation is None


def test_a_conversation_starts_where_it_is_served() -> None:
    found = plan(turn("sonnet"), task=make_task(start="sonnet"))
    assert climb(found) == ["sonnet", "opus"]
    assert [t.tier for t in found.fallbacks] == ["small"]
    assert said(found) == "stay: sonnet"
    assert found.reason.startswith("the conversation stays: ")


def test_what_is_warm_makes_the_dearer_tier_the_cheaper_one_until_it_is_cold() -> None:
    """`sonnet` was down for a turn, so `opus` served it and cached it."""
    task = make_task(start="sonnet")
    warm = plan(turn("opus", usage=CACHED, ago_s=60), task=task)
    assert (climb(warm), said(warm)) == (["opus"], "stay: opus")
    cold = plan(turn("opus", usage=CACHED, ago_s=301), task=task)
    assert (cold.start, said(cold)) == ("sonnet", "switch: opus -> sonnet")
    assert why(cold).startswith("its prefix went cold: ")
    hourly = Usage(20_000, 50, cache_write_tokens=19_900, cache_write_1h_tokens=19_900)
    assert said(plan(turn("opus", usage=hourly, ago_s=301), task=task)) == "stay: opus"


def test_a_warm_prefix_is_no_longer_than_what_went_before() -> None:
    """Whatever the tier counted then."""
    messages = [
        {"role": "user", "content": "Shortly?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": QUESTION},
    ]
    found = plan(turn("opus", usage=CACHED), messages=messages, task=make_task(start="opus"))
    assert 0 < warm_tokens(found) < 10


def test_money_is_what_the_ledger_would_bill() -> None:
    """The figure in the trace: read, written and generated tokens at the card's prices."""
    found = plan(turn("opus", usage=CACHED), task=make_task(start="opus", max_tokens=50))
    price, warm = CARD.price("claude-opus-5-5"), warm_tokens(found)
    assert price is not None
    assert 15_000 < warm <= 19_900
    usage = Usage(warm + NEW, 50, cached_tokens=warm, cache_write_tokens=NEW)
    assert f"; {float(price.cost(usage)):.3g} USD expected" in why(found)


def test_a_conversation_that_outgrew_the_cheap_tier_stays_above_it() -> None:
    first = [turn("small", "escalated", ago_s=100), turn("sonnet", ago_s=100)]
    then = plan(*first)
    assert (climb(then), said(then)) == (["sonnet", "opus"], "switch: small -> sonnet")
    assert said(plan(*first, turn("sonnet", ago_s=50))) == "stay: sonnet"


def test_a_failure_among_good_turns_costs_one_turn_above() -> None:
    good = [turn("small", ago_s=ago) for ago in (300, 200)]
    failed = [*good, turn("small", "escalated", ago_s=100), turn("sonnet", ago_s=100)]
    assert said(plan(*failed)) == "switch: small -> sonnet"
    served = [*failed, turn("sonnet", ago_s=50)]
    assert said(plan(*served)) == "switch: sonnet -> small"
    assert said(plan(*served, margin=1.0)) == "stay: sonnet"


def test_a_tier_that_lost_eligibility_is_left_and_named() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": [image]},
    ]
    found = plan(turn("small"), messages=messages)
    assert found.start == "sonnet"
    assert said(found) == "switch: small -> sonnet"
    assert why(found).startswith("small cannot: lacks images; ")


def test_caps_hold_against_a_conversation() -> None:
    found = plan(turn("opus"), max_tier="sonnet")
    assert climb(found) == ["small", "sonnet"]
    assert why(found).startswith(
        "opus cannot: the key or the request allows no tier above 'sonnet'; "
    )
    assert plan(turn("opus"), task=make_task(max="small")).start == "small"


def test_a_tier_that_is_gone_from_the_config_is_left() -> None:
    found = plan(turn("retired"))
    assert why(found).startswith("retired cannot: there is no such tier any more")


def test_critical_tasks_and_tiers_by_name_are_no_conversations() -> None:
    pinned = plan(turn("small"), task=make_task(critical=True))
    named = plan(turn("small"), model="sonnet")
    assert (pinned.reason, pinned.conversation) == (PINNED, None)
    assert (named.reason, named.conversation) == (ASKED_BY_NAME, None)


def test_the_long_context_price_counts_for_long_prompts() -> None:
    """Haiku 5.5 costs five times as much above 100,000 tokens; the other tier does not."""
    able: dict[str, Any] = {"ability": Ability(context_tokens=10**6), "context_tokens": 10**6}
    haiku, flat = Ladder().add("haiku", **able).add("flat", price=0.3, **able).rungs
    rungs = [replace(haiku, price=CARD.price("claude-haiku-5-5")), flat]

    def start(words: int) -> str:
        request = make_request("words " * words)
        return Planner(rungs).plan(request, make_call(), make_task()).start

    assert start(1_000) == "haiku"
    assert start(200_000) == "flat"
