"""Tenants and contexts never meet: not by what they ask, not by what they store, not by time."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.decision import MAX_LOGIT, Judgement
from cache.guards.reading import Reading
from cache.semantic.answer import Answer, dump, load
from cache.semantic.memory import Hit, Miss, Offered
from cache.semantic.question import Asked, asked_by
from serving.settings.semantic import SemanticSettings
from serving.wire.completion import Choice, Completion, Usage
from tests.cache.semantic.world import AGAIN, ASKED, ByCosine, World, chat, task, world

REQUESTS = 10_000
SETTINGS = SemanticSettings(enabled=True)
SYSTEMS = (None, "Be brief.", "Be kind.")
EARLIER: tuple[list[dict[str, Any]], ...] = (
    [],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}],
)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FIELDS: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0},
    {"temperature": 0.5},
    {"max_tokens": 9},
    {"tools": [TOOL]},
    {"response_format": {"type": "json_object"}},
    {"stop": "."},
    {"unheard_of": 1},
    {"stepwell": {"document_version": "v2"}},
    {"stepwell": {"validators": [{"kind": "json"}]}},
)
TEXTS = tuple(f"How do I reset my {thing}?" for thing in ("password", "phone", "alarm", "pin"))


class YesMan(ByCosine):
    """Says yes to whatever it is shown, so that nothing but the scope keeps answers apart."""

    def judge(self, cosine: float, a: Reading, b: Reading) -> Judgement:
        return Judgement(1.0, MAX_LOGIT, cosine)


@dataclass(frozen=True)
class Context:
    """All of a request but its question."""

    tenant: str
    task: str
    max_tier: str | None
    system: str | None
    earlier: int
    fields: int


def contexts(rng: random.Random, tenant: str) -> Context:
    return Context(
        tenant,
        rng.choice(("faq", "news")),
        rng.choice((None, "big")),
        rng.choice(SYSTEMS),
        rng.randrange(len(EARLIER)),
        rng.randrange(len(FIELDS)),
    )


def asked(w: World, context: Context, text: str) -> Asked:
    messages: list[dict[str, Any]] = [*EARLIER[context.earlier], {"role": "user", "content": text}]
    if context.system is not None:
        messages.insert(0, {"role": "system", "content": context.system})
    call = w.call(tenant=context.tenant, task=context.task, max_tier=context.max_tier)
    request = chat("", messages=messages, **FIELDS[context.fields])
    found = asked_by(request, call, w.tasks[context.task], SETTINGS)
    assert isinstance(found, Asked)
    return found


async def test_two_tenants_with_ten_thousand_requests_each_never_meet() -> None:
    rng = random.Random(7)
    async with world(task("faq"), task("news"), decision=YesMan()) as w:
        made: dict[int, Context] = {}
        hits = 0
        for _ in range(REQUESTS):
            for tenant in ("acme", "globex"):
                context = contexts(rng, tenant)
                question = asked(w, context, rng.choice(TEXTS))
                found = await w.memory.look_up(question)
                if isinstance(found, Hit):
                    hits += 1
                    assert made[int(load(found.answer).attempt_id)] == context
                    continue
                assert isinstance(found, Miss)
                assert found.flight is not None
                made[len(made)] = context
                await w.memory.land(found.flight, None)
                await keep(w, question, found, str(len(made) - 1))
        assert hits > REQUESTS
        assert len(made) > 500


async def keep(w: World, question: Asked, miss: Miss, name: str) -> None:
    assert question.question is not None
    completion = Completion("c", 1, "m", (Choice(content=name),), Usage(1, 1))
    await w.memory.offer(
        Offered(
            question=question.question,
            vector=miss.vector,
            answer=dump(Answer(completion, "big", "m", True, (), name)),
            cost_usd=None,
            request_id=name,
            ttl_s=60,
            asked_at=0.0,
            learn=False,
        )
    )


async def test_a_poisoned_answer_stays_with_who_poisoned_it() -> None:
    async with world() as w:
        await w.ask(ASKED, tenant="mallory")
        _, own = await w.ask(ASKED, tenant="acme")
        assert (own.trace.cache, w.inner.asked) == ("miss", 2)
        # Nor does it touch the others' when that answer is found wrong.
        w.cached.evict("r1")
        await w.settled()
        _, call = await w.ask(AGAIN, tenant="acme")
        assert call.trace.cache == "semantic"


async def test_time_does_not_tell_what_others_asked() -> None:
    """The work of a lookup is the same whether or not another tenant has asked it before: the same
    texts are embedded, the same number of candidates is judged.
    """

    decision = ByCosine()
    async with world(decision=decision) as w:
        await w.ask("What does delivery cost?", tenant="acme")
        work: list[tuple[int, int]] = []
        for text in (ASKED, AGAIN):
            if text == AGAIN:
                await asyncio.gather(*(w.ask(AGAIN, tenant=f"other-{i}") for i in range(8)))
            before = len(w.embedder.texts), decision.judged
            asked_now = asked_by(chat(text), w.call(tenant="acme"), w.tasks["faq"], SETTINGS)
            assert isinstance(asked_now, Asked)
            found = await w.memory.look_up(asked_now)
            assert isinstance(found, Miss)
            assert found.flight is not None
            await w.memory.land(found.flight, None)
            work.append((len(w.embedder.texts) - before[0], decision.judged - before[1]))
        assert work == [(1, 1), (1, 1)]
