"""Audits: hits are answered anew and compared, and what that shows is acted upon."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.decision import Judgement, Reason
from cache.guards.reading import Reading
from cache.semantic.cuts import Cuts
from cache.semantic.entry import Candidate, NewEntry
from cache.semantic.question import Asked, Question, asked_by
from cache.semantic.rate import rate
from cache.threshold import Threshold
from serving.errors import TierUnavailable
from serving.settings.semantic import SemanticSettings
from serving.storage.database import Database
from serving.storage.semantic import SemanticEvidence
from serving.telemetry.semantic import SemanticMetrics
from serving.wire.completion import Choice
from tests.cache.semantic.world import AGAIN, ASKED, ByCosine, World, chat, task, world

THIRD = "How do I please reset my password?"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unsure(ByCosine):
    """Finds each pair a little below the cut."""

    def judge(self, cosine: float, a: Reading, b: Reading) -> Judgement:
        return Judgement(0.9, 2.2, cosine, (Reason("cosine", 2.2),))


async def audited(w: World) -> None:
    """Waits until what was drawn has been audited."""
    while workers := tuple(w.audits._checks._workers):
        await asyncio.wait(workers)
    await w.settled()


async def keep_beside(w: World, text: str) -> None:
    """Another entry with the answer of the first, which a lookup would not have made."""
    (first,) = await candidates(w)
    (vector,) = await w.embedder.embed([text])
    entry = first.entry
    names = ("answer", "tier", "model", "simulated", "cost_usd", "expires_at")
    same: dict[str, Any] = {name: getattr(entry, name) for name in names}
    question = Question(entry.scope, entry.tenant, entry.task, text, entry.tags, entry.document)
    new = NewEntry(question=question, vector=vector, request_id="beside", **same)
    assert await w.memory.shelf.add(new)


def says(w: World, text: str) -> None:
    w.inner.choices = (Choice(content=text),)


async def test_a_right_hit_stays_and_is_counted() -> None:
    async with world(task(audit=1.0)) as w:
        await w.ask(ASKED)
        await w.ask(AGAIN)
        await audited(w)
        assert w.inner.asked == 2
        rows = [row for row in w.ledger.rows if row.kind == "cache_check"]
        assert len(rows) == 2  # the scripted cascade climbs once
        assert w.purse.settled == [Decimal("0.02")]
        _, call = await w.ask(THIRD)
        assert call.trace.cache == "semantic"
        (entry,) = [c.entry for c in await candidates(w)]
        assert (entry.right, entry.wrong) == (1, 0)


async def candidates(w: World) -> list[Candidate]:
    """What is stored in the scope that all of these requests have."""
    found = asked_by(chat(ASKED), w.call(), w.tasks["faq"], SemanticSettings(enabled=True))
    assert isinstance(found, Asked)
    assert found.question is not None
    (vector,) = await w.embedder.embed([ASKED])
    return w.memory.shelf.find(found.question.scope, vector)


async def test_a_wrong_hit_is_forgotten_and_its_siblings_are_examined() -> None:
    async with world(task(audit=1.0)) as w:
        await w.ask(ASKED)
        await keep_beside(w, "How do I reset the password?")
        says(w, "Quite another answer.")
        _, hit = await w.ask(AGAIN)
        await audited(w)
        assert hit.trace.cache == "semantic"
        texts = {c.entry.text for c in await candidates(w)}
        assert texts == {AGAIN}
        answer, call = await w.ask(THIRD)
        assert call.trace.cache == "semantic"
        assert answer.first.content == "Quite another answer."
        tallies = await w.evidence.tallies(since=EPOCH)
        assert (tallies["faq"].checked, tallies["faq"].wrong) >= (1, 1)


async def test_what_takes_the_place_of_a_wrong_answer_lives_as_long_as_its_tag_says() -> None:
    settings = SemanticSettings(enabled=True, deadline_ms=5_000, tag_ttl_s={"prices": 5.0})
    tagged = {"metadata": {"cache_tags": "prices"}}
    async with world(task(audit=1.0), settings=settings) as w:
        await w.ask(ASKED, tagged)
        says(w, "Quite another answer.")
        await w.ask(AGAIN, tagged)
        await audited(w)
        (entry,) = [c.entry for c in await candidates(w)]
        assert entry.text == AGAIN
        assert entry.expires_at - entry.created_at == pytest.approx(5, abs=0.5)


async def test_what_says_the_same_as_a_wrong_answer_goes_with_it() -> None:
    async with world() as w:
        await w.ask(ASKED, request_id="wrong")
        await keep_beside(w, "How do I reset the password?")
        says(w, "Quite another answer.")
        await w.ask("When does the shop open?")
        w.cached.evict("wrong")
        await w.settled()
        assert {c.entry.text for c in await candidates(w)} == {"When does the shop open?"}


async def test_a_check_is_not_audited_nor_answered_from_the_cache() -> None:
    async with world(task(audit=1.0)) as w:
        await w.ask(ASKED)
        await w.ask(AGAIN)
        await audited(w)
        assert w.inner.asked == 2
        assert all(r.tier != "cache" for r in w.ledger.rows)


async def test_nothing_is_asked_beyond_the_budget() -> None:
    async with world(task(audit=1.0)) as w:
        w.purse.left = Decimal("0.1")
        await w.ask(ASKED)
        await w.ask(AGAIN)
        await audited(w)
        assert w.inner.asked == 1


async def test_a_reference_that_fails_says_nothing() -> None:
    async with world(task(audit=1.0)) as w:
        await w.ask(ASKED)

        def fail(_: object) -> None:
            raise TierUnavailable("away")

        w.inner.mark = fail
        await w.ask(AGAIN)
        await audited(w)
        assert len(await candidates(w)) == 1
        assert await w.evidence.tallies(since=EPOCH) == {}


async def test_misses_teach_for_nothing() -> None:
    """Where fresh answers keep contradicting the stored ones, the cut rises until nothing is given,
    and what was learned outlives a restart.
    """
    async with world(task(delta=0.05), decision=Unsure()) as w:
        before = w.memory.cuts.cut("faq").score
        for i in range(60):
            says(w, f"Answer {i}.")
            _, call = await w.ask(f"What is phone {i}?")
            assert call.trace.cache == "miss"
        learned = w.memory.cuts.take_changes()
        after = w.memory.cuts.cut("faq").score
        assert before < after
        assert sum(wrong for _, _, wrong in learned["faq"]["bins"]) > 20
        metrics = SemanticMetrics(CollectorRegistry())
        again = Cuts(w.tasks.__getitem__, learned, metrics)
        assert again.cut("faq").score == after


async def test_evidence_is_stored(database_url: str) -> None:
    database = await Database.open(database_url)
    try:
        evidence = SemanticEvidence(database)
        threshold = Threshold(0.02)
        threshold.observe(3.0, wrong=True)
        await evidence.save({"faq": threshold.saved()})
        await evidence.save({"faq": threshold.saved(), "news": threshold.saved()})
        found = await evidence.thresholds()
        assert found == {"faq": threshold.saved(), "news": threshold.saved()}
        other = Threshold(0.02)
        other.restore(found["faq"])
        assert other.cut == threshold.cut
    finally:
        await database.close()


def test_a_stricter_delta_holds_at_once_after_a_restart() -> None:
    loose = Threshold(0.2)
    strict = Threshold(0.005)
    fresh = strict.cut.score
    strict.restore(loose.saved())
    assert strict.cut.score == fresh > loose.cut.score
    with pytest.raises(ValueError, match="another form"):
        strict.restore({"bins": [[1, 0, 0]], "at": 1, "waited": 0})


def test_the_interval_of_a_rate() -> None:
    """Wilson's, as tables give it."""
    found = rate(2, 100)
    assert found.estimate == 0.02
    assert found.low == pytest.approx(0.00550, abs=1e-4)
    assert found.high == pytest.approx(0.07001, abs=1e-4)
    none = rate(0, 50)
    assert none.low == 0.0
    assert none.high == pytest.approx(0.0713, abs=1e-3)
    assert (rate(0, 0).low, rate(0, 0).high) == (0.0, 1.0)
    assert rate(3, 3).high == 1.0
