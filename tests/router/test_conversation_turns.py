"""Conversations over the drivers, the meter and the ledger, on both databases: what one gateway
serves, another one goes on with.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from router.conversations import UNKNOWN, Conversations
from router.identity import key_of
from router.live import CascadeBackend
from router.planner import Planner
from router.rung import Rung
from serving.backend import Ability, Call, new_id
from serving.costs.ledger import Ledger
from serving.costs.metered import Metered
from serving.costs.past import past_turns
from serving.costs.rate_card import RateCard
from serving.errors import TierUnavailable
from serving.settings.conversations import ConversationSettings
from serving.settings.tasks import TaskSettings
from serving.storage.database import Database
from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage
from tests.router.fakes import (
    GATE,
    LONG,
    UNSURE,
    Reply,
    Scripted,
    flat_price,
    make_call,
    make_task,
    one_task,
    read,
    tier_settings,
)

CARD = RateCard.load()
MODELS = {"sonnet": "claude-sonnet-5-5", "opus": "claude-opus-5-5"}
STORY = "It is a long story of many words. " * 500
WRITES = Usage(5_000, 20, cache_write_tokens=4_900)
READS = Usage(5_100, 20, cached_tokens=4_900, cache_write_tokens=100)
DOWN = Reply(error=TierUnavailable("gone"))


class Gateway:
    """One gateway of its own on a shared database. `turn` asks in the next turn of a conversation
    and says which tiers were asked.
    """

    def __init__(self, database: Database, *, task: TaskSettings, streams: bool) -> None:
        settings = ConversationSettings(lookup_s=10)
        self.shift = 0.0
        self.conversations = Conversations(
            settings,
            read=partial(past_turns, database),
            key=key_of(None),
            clock=lambda: time.time() + self.shift,
        )
        self.ledger = Ledger(
            database,
            baseline=flat_price(10),
            flush_interval_s=60,
            max_buffered_rows=100,
            observers=[self.conversations.observe],
        )
        self._task = task
        self._streams = streams

    async def turn(self, *messages: str, **tiers: list[Reply]) -> Call:
        """The user and the assistant by turns; `tiers`, cheapest first, with what they reply."""
        rungs = [self._rung(name, replies) for name, replies in tiers.items()]
        cascade = CascadeBackend(
            rungs,
            tasks=one_task(self._task),
            planner=Planner(rungs),
            conversations=self.conversations,
        )
        call = make_call(request_id=new_id())
        if self._streams:
            await read(cascade.stream(chat(*messages), call))
        else:
            await cascade.complete(chat(*messages), call)
        await asyncio.sleep(0)
        await self.ledger.flush()
        return call

    def _rung(self, name: str, replies: list[Reply]) -> Rung:
        gated = name == "small"
        settings = tier_settings(name, gate=GATE if gated else None, retries=0)
        price = CARD.price(MODELS[name]) if name in MODELS else flat_price(0.05)
        inner = Scripted(settings, replies, records=False)
        backend = Metered(inner, tier=settings, price=price, ledger=self.ledger)
        return Rung(settings, backend, Ability(logprobs=gated), price)


def chat(*messages: str) -> ChatRequest:
    roles = ("user", "assistant")
    listed: list[Any] = [{"role": roles[i % 2], "content": text} for i, text in enumerate(messages)]
    return ChatRequest.model_validate({"model": "auto", "messages": listed})


def asked(call: Call) -> list[str]:
    return [attempt.tier for attempt in call.trace.attempts]


def noted(call: Call) -> list[tuple[str, str]]:
    return [(d.decision, d.reason) for d in call.trace.decisions if d.stage == "conversation"]


@pytest.fixture(params=["whole", "streamed"])
async def gateway(
    request: pytest.FixtureRequest, database: Database
) -> AsyncIterator[Callable[..., Gateway]]:
    """Makes gateways on one database."""
    made: list[Gateway] = []

    def make(**task: Any) -> Gateway:
        streams = request.param == "streamed"
        made.append(Gateway(database, task=make_task(**task), streams=streams))
        return made[-1]

    yield make
    for one in made:
        await one.conversations.close()
        await one.ledger.close()


FINE, HM = Reply(LONG), Reply(LONG, UNSURE)


async def test_a_conversation_goes_on_where_it_was_served(
    gateway: Callable[..., Gateway],
) -> None:
    one = gateway()
    first = await one.turn(STORY, small=[HM], sonnet=[FINE], opus=[])
    assert asked(first) == ["small", "sonnet"]
    assert noted(first) == []
    second = await one.turn(STORY, "Yes.", "Why?", small=[], sonnet=[FINE], opus=[])
    assert asked(second) == ["sonnet"]
    [(decision, reason)] = noted(second)
    assert decision == "switch: small -> sonnet"
    assert reason.startswith("the last turn did not pass at small; ")


async def test_a_conversation_that_is_served_well_stays(gateway: Callable[..., Gateway]) -> None:
    one = gateway()
    history = [STORY]
    for n in range(4):
        call = await one.turn(*history, small=[FINE], sonnet=[], opus=[])
        assert asked(call) == ["small"]
        assert [decision for decision, _ in noted(call)] == ["stay: small"] * (n > 0)
        history += ["Yes.", f"Why {n}?"]


async def test_gateways_share_what_they_know(gateway: Callable[..., Gateway]) -> None:
    """Each turn at another gateway: what the earlier ones learned is in the ledger."""
    one, two, three = gateway(), gateway(), gateway()
    history = [STORY, "Yes.", "Why?", "So.", "And?", "Oh.", "Well?", "M.", "Then?"]
    first = await one.turn(*history[:1], small=[FINE], sonnet=[], opus=[])
    assert asked(first) == ["small"]
    second = await two.turn(*history[:3], small=[HM], sonnet=[FINE], opus=[])
    assert asked(second) == ["small", "sonnet"]
    third = await three.turn(*history[:5], small=[], sonnet=[FINE], opus=[])
    assert asked(third) == ["sonnet"]
    [(decision, reason)] = noted(third)
    assert decision == "switch: small -> sonnet"
    assert reason.startswith("the last turn did not pass at small; ")
    fourth = await one.turn(*history[:7], small=[HM], sonnet=[FINE], opus=[])
    assert asked(fourth) == ["small", "sonnet"], "one failure is forgiven"
    fifth = await two.turn(*history, small=[], sonnet=[FINE], opus=[])
    [(decision, reason)] = noted(fifth)
    assert decision == "switch: small -> sonnet"
    assert reason.startswith("the last 2 turns did not pass at small; ")


async def test_a_warm_prefix_holds_a_conversation_at_another_gateway_too(
    gateway: Callable[..., Gateway],
) -> None:
    """`sonnet` was down once; then reading at `opus` costs less than writing at `sonnet`."""
    one, two = gateway(start="sonnet"), gateway(start="sonnet")
    cached = Reply(LONG, usage=WRITES)
    first = await one.turn(STORY, sonnet=[DOWN], opus=[cached])
    assert asked(first) == ["sonnet", "opus"]
    hit = Reply(LONG, usage=READS)
    second = await two.turn(STORY, "Yes.", "Why?", sonnet=[], opus=[hit])
    assert [decision for decision, _ in noted(second)] == ["stay: opus"]
    one.shift = two.shift = 301.0
    for late in (one, two):
        third = await late.turn(STORY, "Yes.", "Why?", "So.", "And?", sonnet=[FINE], opus=[])
        [(decision, reason)] = noted(third)
        assert decision == "switch: opus -> sonnet"
        assert reason.startswith("its prefix went cold: ")


async def test_a_history_that_nobody_served_says_so_and_starts_as_any_request(
    gateway: Callable[..., Gateway],
) -> None:
    call = await gateway().turn("2+2?", "4", "3+3?", small=[FINE], sonnet=[], opus=[])
    assert asked(call) == ["small"]
    assert noted(call) == [("unknown", UNKNOWN)]
    plans = [d.reason for d in call.trace.decisions if d.stage == "plan"]
    assert plans[0].startswith("cheapest by expected cost")
