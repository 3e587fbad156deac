"""Spot checks: which answers are checked, what it may cost, and what is written down."""

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from router.live import CascadeBackend
from router.outcomes import Checked
from router.planner import Planner
from router.spot_check import SpotChecker
from serving.checks import MAX_REQUEST_CHARS
from serving.errors import TierUnavailable
from serving.settings.tasks import SpotCheckBudget, TaskSettings
from serving.wire.chat import ChatRequest
from tests.router.fakes import (
    GATE,
    SURE,
    Ladder,
    Reply,
    make_call,
    make_request,
    make_task,
    one_task,
    read,
)


class Log:
    def __init__(self) -> None:
        self.kept: list[Checked] = []

    async def add(self, checked: Checked) -> None:
        self.kept.append(checked)


class BrokenLog(Log):
    async def add(self, checked: Checked) -> None:
        raise OSError("disk full: INSERT ... 'the prompt'")


class World:
    """A cascade with a checker behind it."""

    def __init__(
        self,
        cheap: Reply,
        *reference: Reply,
        log: Log | None = None,
        price: float | None = 1.0,
        spent: str = "0",
        **budget: Any,
    ) -> None:
        self.log = log or Log()
        self.ladder = Ladder().add("small", *[cheap] * 20, gate=GATE, price=0.1)
        self.ladder.add("top", *reference, price=price)
        self.spent = Decimal(spent)
        self.settings = SpotCheckBudget.model_validate(budget)
        self.checker = self.make_checker()

    def make_checker(self) -> SpotChecker:
        return SpotChecker(
            self.ladder.rungs,
            planner=Planner(self.ladder.rungs),
            settings=self.settings,
            log=self.log,
            spent_today=self._spent_today,
        )

    async def _spent_today(self) -> Decimal:
        return self.spent

    async def ask(
        self, task: TaskSettings, request: ChatRequest | None = None, **call: Any
    ) -> None:
        backend = CascadeBackend(
            self.ladder.rungs, tasks=one_task(task), on_accepted=self.checker.offer
        )
        request = request or make_request()
        if request.stream:
            await read(backend.stream(request, make_call(**call)))
        else:
            await backend.complete(request, make_call(**call))


def checked_task(**fields: Any) -> TaskSettings:
    spot = {"share": 1.0, **fields.pop("spot_check", {})}
    return make_task("faq", spot_check=spot, **fields)


async def test_a_checked_answer_is_compared_and_written_down() -> None:
    world = World(Reply("Card arrival"), Reply("card  arrival"))
    await world.ask(checked_task(), request_id="q1", feature="chat")
    await world.checker.close(5)
    [kept] = world.log.kept
    assert (kept.id, kept.tenant, kept.task) == ("q1", "acme", "faq")
    assert (kept.agreed, kept.compared_by, kept.prompt) == (True, "exact", None)
    assert list(kept.tiers) == ["small", "top"], "cheapest first"
    assert kept.tiers["small"] == {
        "correct": 1.0,
        "confidence": pytest.approx(SURE),
        "cost_usd": 0.001,
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "latency_ms": 5.0,
    }
    assert kept.tiers["top"]["correct"] == 1.0
    json.dumps(kept.tiers)


async def test_the_reference_is_metered_as_a_spot_check_and_judged() -> None:
    world = World(Reply("one thing"), Reply("another thing"))
    await world.ask(checked_task(), request_id="q1", key_id="k", session="s", step="2")
    await world.checker.close(5)
    [call] = world.ladder.tiers["top"].calls
    [attempt] = call.trace.attempts
    assert (attempt.kind, attempt.outcome, attempt.reason) == (
        "spot_check",
        "compared",
        "disagreed",
    )
    assert (call.request_id, call.key_id, call.session, call.step) == ("q1", "k", "s", "2")
    assert world.log.kept[0].tiers["small"]["correct"] == 0.0
    assert world.log.kept[0].tiers["top"]["correct"] == 1.0


async def test_a_wrong_answer_is_reported_by_its_request_and_a_right_one_is_not() -> None:
    wrong: list[str] = []
    world = World(Reply("one thing"), Reply("another thing"), Reply("one thing"))
    world.checker.on_disagreed = wrong.append
    await world.ask(checked_task(), request_id="q1")
    await world.ask(checked_task(), request_id="q2")
    await world.checker.close(5)
    assert wrong == ["q1"]


async def test_the_budget_covers_the_thoughts_of_the_reference() -> None:
    world = World(Reply("one"), Reply("one"), max_usd_per_day="0.005")
    thoughtful = replace(world.ladder.rungs[1], thinking_room=lambda _: 10**9)
    world.ladder.rungs[1] = thoughtful
    world.checker = world.make_checker()
    await world.ask(checked_task())
    await world.checker.close(5)
    assert world.checker.dropped["budget"] == 1


async def test_text_is_kept_only_where_the_task_says_so() -> None:
    world = World(Reply("Yes"), Reply("No"))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it?"}]
    keeps = checked_task(spot_check={"store_text": True})
    await world.ask(keeps, make_request(messages=messages))
    await world.checker.close(5)
    [kept] = world.log.kept
    assert kept.prompt == "system: Be brief.\n\nuser: Is it?"
    assert [t["answer"] for t in kept.tiers.values()] == ["Yes", "No"]


async def test_streams_are_checked_too_and_the_reference_answers_at_once() -> None:
    world = World(Reply("yes"), Reply("yes"))
    request = make_request(stream=True, stream_options={"include_usage": True})
    await world.ask(checked_task(), request)
    await world.checker.close(5)
    [asked] = world.ladder.tiers["top"].requests
    assert {"stream", "stream_options", "n"}.isdisjoint(asked.wire())
    assert world.log.kept[0].agreed


async def test_a_reference_that_fails_its_checks_settles_nothing() -> None:
    world = World(Reply("yes"), Reply("half", finish="length"))
    await world.ask(checked_task())
    await world.checker.close(5)
    [kept] = world.log.kept
    assert kept.agreed is None
    assert all("correct" not in tier for tier in kept.tiers.values())


@pytest.mark.parametrize(
    ("task", "call"),
    [
        (checked_task(critical=True), {}),
        (make_task("faq"), {}),
        (checked_task(spot_check={"reference": "small"}), {}),
        (checked_task(max="small"), {}),
        (checked_task(), {"max_tier": "small"}),
    ],
)
async def test_answers_that_are_not_checked(task: TaskSettings, call: dict[str, Any]) -> None:
    world = World(Reply("yes"), Reply("yes"), Reply("yes"))
    await world.ask(task, **call)
    await world.checker.close(5)
    assert world.log.kept == []
    assert sum(world.checker.dropped.values()) == 0


async def test_the_clients_caps_hold_for_the_reference_too() -> None:
    world = World(Reply("yes"), Reply("yes"))
    await world.ask(checked_task(spot_check={"reference": "top"}), max_tier="small")
    await world.checker.close(5)
    assert world.ladder.tiers["top"].calls == [], "the prompt may not go there"
    assert world.checker.dropped == {"no_reference": 1}


async def test_spending_stays_below_the_daily_cap() -> None:
    world = World(Reply("yes"), *[Reply("yes")] * 20, max_usd_per_day="0.005")
    for number in range(5):
        await world.ask(checked_task(max_tokens=500), request_id=f"r{number}")
    await world.checker.close(5)
    spent = Decimal("0.001") * len(world.log.kept)
    assert 0 < len(world.log.kept) <= 5
    assert spent <= Decimal("0.005")
    assert world.checker.dropped["budget"] == 5 - len(world.log.kept)


async def test_what_was_spent_before_a_restart_counts() -> None:
    world = World(Reply("yes"), Reply("yes"), spent="1", max_usd_per_day="1")
    await world.ask(checked_task())
    await world.checker.close(5)
    assert world.checker.dropped == {"budget": 1}


async def test_a_reference_without_a_price_cannot_be_capped_and_is_not_asked() -> None:
    world = World(Reply("yes"), Reply("yes"), price=None)
    await world.ask(checked_task())
    assert world.checker.dropped == {"unpriced": 1}


async def test_a_full_queue_drops_and_counts() -> None:
    world = World(Reply("yes"), *[Reply("yes")] * 20, max_queued=2, max_concurrent=1)
    for number in range(5):
        await world.ask(checked_task(), request_id=f"r{number}")
    await world.checker.close(5)
    assert len(world.log.kept) + world.checker.dropped["queue_full"] == 5
    world = World(Reply("yes"), Reply(hang=True), Reply("yes"), max_queued=1, max_concurrent=1)
    for number in range(3):
        await world.ask(checked_task(), request_id=f"r{number}")
        await asyncio.sleep(0.01)
    assert world.checker.dropped == {"queue_full": 1}
    await world.checker.close(0.01)


async def test_only_so_many_run_at_a_time() -> None:
    world = World(Reply("yes"), *[Reply(hang=True)] * 9, max_concurrent=3)
    for number in range(9):
        await world.ask(checked_task(), request_id=f"r{number}")
    await asyncio.sleep(0.02)
    assert len(world.ladder.tiers["top"].calls) == 3
    await world.checker.close(0.01)


async def test_shutdown_gives_up_in_time_and_counts_what_it_dropped() -> None:
    world = World(Reply("yes"), Reply(hang=True), Reply("yes"), max_concurrent=1)
    await world.ask(checked_task(), request_id="running")
    await world.ask(checked_task(), request_id="queued")
    await asyncio.sleep(0.01)
    await world.checker.close(0.02)
    assert world.checker.dropped == {"shutdown": 2}
    [call] = world.ladder.tiers["top"].calls
    assert call.trace.attempts[0].outcome == "cancelled"
    await world.ask(checked_task(), request_id="late")
    assert world.checker.dropped == {"shutdown": 3}


async def test_one_failed_check_does_not_stop_the_others() -> None:
    world = World(Reply("yes"), Reply(error=TierUnavailable("down")), Reply("yes"))
    await world.ask(checked_task(), request_id="a")
    await world.ask(checked_task(), request_id="b")
    await world.checker.close(5)
    assert world.checker.dropped["reference_failed"] == 1
    assert len(world.log.kept) == 1
    broken = World(Reply("yes"), Reply("yes"), Reply("yes"), log=BrokenLog())
    await broken.ask(checked_task(), request_id="a")
    await broken.ask(checked_task(), request_id="b")
    await broken.checker.close(5)
    assert broken.checker.dropped["error"] == 2


async def test_a_reference_past_its_deadline_is_given_up() -> None:
    world = World(Reply("yes"), Reply(hang=True))
    quick = world.ladder.rungs[1].settings.model_copy(update={"deadline_s": 0.05})
    world.ladder.rungs[1] = replace(world.ladder.rungs[1], settings=quick)
    world.checker = world.make_checker()
    await world.ask(checked_task())
    await world.checker.close(5)
    assert world.checker.dropped["reference_failed"] == 1
    [call] = world.ladder.tiers["top"].calls
    assert call.trace.attempts[0].outcome == "failed"


async def test_very_long_requests_are_not_queued() -> None:
    world = World(Reply("yes"), Reply("yes"))
    messages = [{"role": "user", "content": "x" * (MAX_REQUEST_CHARS + 1)}]
    for number, rung in enumerate(world.ladder.rungs):
        settings = rung.settings.model_copy(update={"context_tokens": 1_000_000})
        able = replace(rung.ability, context_tokens=1_000_000)
        world.ladder.rungs[number] = replace(rung, settings=settings, ability=able)
    world.checker = world.make_checker()
    await world.ask(checked_task(), make_request(messages=messages))
    assert world.checker.dropped == {"too_long": 1}
