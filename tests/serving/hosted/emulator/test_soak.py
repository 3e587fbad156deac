"""Many calls of the real adapter, some of which go wrong: who got an answer was billed for it."""

import asyncio
import random
from datetime import date
from decimal import Decimal

from serving.costs.rate_card import RateCard
from serving.errors import TierError
from serving.hosted.anthropic import Anthropic
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from tests.serving.hosted.emulator.running import OLD_SONNET, block, running
from tests.serving.hosted.fakes import Scripted, adapter, answer, asked, call, chat

FAULTS = {
    "429": 0.01, "500": 0.01, "529": 0.02, "spend_limit": 0.01, "dropped": 0.03,
    "truncated": 0.02, "malformed": 0.02, "overloaded_midstream": 0.02, "refusal": 0.02,
    "pause_turn": 0.02,
}  # fmt: skip
CALLS, AT_ONCE = 600, 16


def drawn(choose: random.Random) -> ChatRequest:
    """One of five prefixes, cached for five minutes, an hour or not at all, and a question."""
    prefix = block(1_500 + choose.randrange(5), choose.choice(["5m", "1h", None]))
    return chat({"role": "system", "content": [prefix]}, "why " * choose.randrange(1, 50))


async def test_the_account_of_completed_calls_is_what_their_usage_costs() -> None:
    choose = random.Random(7)
    slots = asyncio.Semaphore(AT_ONCE)
    backend = Scripted(answer("one two three four", tokens=77))
    price = RateCard.load().price(OLD_SONNET, date(2026, 11, 1))
    assert price is not None

    async def one(claude: Anthropic, request: ChatRequest, *, stream: bool) -> Completion | None:
        async with slots:
            try:
                return await asked(claude, request, call(30), stream=stream)
            except TierError:
                return None

    async with running(backend, faults=FAULTS, seed=5) as to, adapter(to.url, OLD_SONNET) as claude:
        work = (one(claude, drawn(choose), stream=choose.random() < 0.5) for _ in range(CALLS))
        found = await asyncio.gather(*work)
        account = to.emulator.account
    costs = {c.id: price.cost(c.usage) for c in found if c is not None}
    bills = {b.message_id: b for b in account.bills() if b.outcome == "completed"}
    assert 0.75 * CALLS < len(costs) < 0.95 * CALLS
    assert {message: bills[message].usd for message in costs} == costs
    assert len(bills) == len(costs)
    assert account.total(outcome="completed").usd == sum(costs.values(), Decimal(0))
    aborted = account.total(outcome="aborted")
    assert 0 < aborted.requests < CALLS - len(costs)
