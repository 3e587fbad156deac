"""Between yes and no a tier is asked whether two questions are the same."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

import orjson
import pytest

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.decision import Judgement, Reason
from cache.guards.reading import Reading
from cache.semantic.cuts import VERIFIED
from cache.semantic.question import Asked, asked_by
from cache.semantic.verify import Verifier
from serving.backend import Call, ChunkStream
from serving.errors import TierUnavailable
from serving.settings.semantic import SemanticSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, Completion, Usage
from tests.cache.semantic.world import AGAIN, ASKED, ByCosine, Gated, World, chat, task, world

DELTA = 0.05


class Unsure(ByCosine):
    """Finds each pair a little below the cut."""

    def judge(self, cosine: float, a: Reading, b: Reading) -> Judgement:
        return Judgement(0.9, 2.2, cosine, (Reason("cosine", 2.2),))


@dataclass
class Says:
    """A tier that says one word."""

    word: str = "yes"
    error: Exception | None = None
    asked: list[ChatRequest] = field(default_factory=list)

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return Completion("v", 1, "m", (Choice(content=self.word),), Usage(50, 1))

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        raise AssertionError("nobody streams one word")


def verifier(tier: Says, usd: str | None = "0.001") -> Verifier:
    return Verifier("small", tier, lambda _: None if usd is None else Decimal(usd))


async def asked_twice(w: World) -> Call:
    await w.ask(ASKED)
    _, call = await w.ask(AGAIN)
    return call


@pytest.mark.parametrize("word", ["yes", "Yes.", " YES\n"])
async def test_a_yes_makes_it_a_hit(word: str) -> None:
    tier = Says(word)
    async with world(task(delta=DELTA), decision=Unsure(), verifier=verifier(tier)) as w:
        call = await asked_twice(w)
        assert (call.trace.cache, w.inner.asked) == ("semantic", 1)
        decisions = [d.decision for d in call.trace.decisions if d.stage == "semantic"]
        assert decisions == ["verify", "hit"]
        (request,) = tier.asked
        assert request.output_limit == 1
        assert orjson.loads(request.messages[-1].text) == {"one": AGAIN, "other": ASKED}
        (entry,) = [e for e in [w.memory.shelf.exact(*await scope_of(w, call))] if e]
        assert entry.hits == 1
        assert not len(w.memory._flights)


async def scope_of(w: World, call: Call) -> tuple[str, str]:
    found = asked_by(chat(ASKED), call, w.tasks["faq"], SemanticSettings(enabled=True))
    assert isinstance(found, Asked)
    assert found.question is not None
    return found.question.scope, ASKED


@pytest.mark.parametrize("word", ["no", "No", "perhaps", "", "yes and no"])
async def test_anything_else_is_a_miss(word: str) -> None:
    async with world(task(delta=DELTA), decision=Unsure(), verifier=verifier(Says(word))) as w:
        call = await asked_twice(w)
        assert (call.trace.cache, w.inner.asked) == ("miss", 2)


@pytest.mark.parametrize("usd", [None, "0.02", "1"])
async def test_it_is_not_asked_where_it_costs_as_much_as_it_saves(usd: str | None) -> None:
    tier = Says()
    async with world(task(delta=DELTA), decision=Unsure(), verifier=verifier(tier, usd)) as w:
        call = await asked_twice(w)
        assert (call.trace.cache, tier.asked) == ("miss", [])


@pytest.mark.parametrize("error", [TierUnavailable("away"), RuntimeError("broken")])
async def test_a_verifier_that_fails_is_a_miss(error: Exception) -> None:
    tier = Says(error=error)
    async with world(task(delta=DELTA), decision=Unsure(), verifier=verifier(tier)) as w:
        call = await asked_twice(w)
        assert (call.trace.cache, len(tier.asked), w.inner.asked) == ("miss", 1, 2)


async def test_its_errors_are_learned_apart_and_end_it() -> None:
    """Verified hits are audited more often; where they are wrong, the others' cut stays."""
    tier = Says()
    own = task(delta=DELTA, audit=1.0)
    async with world(own, decision=Unsure(), verifier=verifier(tier)) as w:
        w.inner.choices = (Choice(content="first"),)
        await w.ask(ASKED)
        before = w.memory.cuts.cut("faq")
        for number in range(60):
            w.inner.choices = (Choice(content=f"other {number}"),)
            await w.ask(f"What is phone {number}?")
            while workers := tuple(w.audits._checks._workers):
                await asyncio.wait(workers)
            await w.settled()
        assert w.memory.cuts.cut("faq" + VERIFIED).score > 2.2 + 2.0
        assert w.memory.cuts.cut("faq").score >= before.score
        asked = len(tier.asked)
        await w.ask("What is a tent?")
        assert len(tier.asked) == asked


async def test_who_leaves_meanwhile_leaves_no_flight() -> None:
    waiting = asyncio.Event()

    class Slow(Says):
        async def complete(self, request: ChatRequest, call: Call) -> Completion:
            waiting.set()
            await asyncio.Event().wait()
            raise AssertionError

    own = task(delta=DELTA)
    async with world(own, decision=Unsure(), verifier=verifier(Slow()), kind=Gated) as w:
        assert isinstance(w.inner, Gated)
        w.inner.gate.set()
        await w.ask(ASKED)
        asking = asyncio.create_task(w.cached.complete(chat(AGAIN), w.call()))
        await waiting.wait()
        asking.cancel()
        await asyncio.wait((asking,))
        await w.settled()
        assert not len(w.memory._flights)
