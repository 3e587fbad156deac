"""The memory in this process: embedder, entries, decision and thresholds together."""

import time
from collections.abc import Callable
from dataclasses import replace

from cache.decision import Decision
from cache.embedder.base import TextEmbedder
from cache.semantic.agree import Agreement
from cache.semantic.answer import Answer, load
from cache.semantic.cuts import VERIFIED, Cuts
from cache.semantic.entry import CUT, Entry, NewEntry, UnfitEntry, Vector
from cache.semantic.flights import Flights
from cache.semantic.judging import Judged, Judging, same
from cache.semantic.memory import Follow, Found, Grey, Hit, Miss, Offered, Verdict
from cache.semantic.question import Asked, Question
from cache.semantic.shelf import Shelf
from cache.semantic.verify import LIFT
from cache.threshold import LOWEST
from serving.settings.tasks import TaskSettings
from serving.storage.semantic import Checked, SemanticEvidence
from serving.telemetry.semantic import SemanticMetrics

SIBLINGS = 16
"""Entries near a question that was answered wrongly, which are examined again."""

BAD = 3
"""Wrong answers, found by comparing with fresh ones for nothing, that end an entry if it had fewer
right ones.
"""


class LocalMemory:
    """A `Memory`. `tasks` gives a task's settings by its name; `verifies`: there is a tier that can
    verify what is grey. Belongs to one event loop; whoever made the parts closes them.
    """

    def __init__(
        self,
        *,
        embedder: TextEmbedder,
        shelf: Shelf,
        decision: Decision,
        cuts: Cuts,
        agreement: Agreement,
        evidence: SemanticEvidence,
        tasks: Callable[[str], TaskSettings],
        metrics: SemanticMetrics,
        verifies: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.shelf = shelf
        self.cuts = cuts
        self._embedder = embedder
        self._judging = Judging(lambda: self.shelf, decision)
        self._agreement = agreement
        self._evidence = evidence
        self._tasks = tasks
        self._metrics = metrics
        self._verifies = verifies
        self._clock = clock
        self._flights = Flights()

    async def look_up(self, asked: Asked) -> Found:
        flight = self._flights.flying(asked.key)
        if flight is not None:
            return Follow(flight)
        question = asked.question
        if question is None:
            return self._join(asked.key, Miss("exact repeats only"))
        repeated = self.shelf.exact(question.scope, question.text)
        if repeated is not None:
            self.shelf.hit(repeated.id)
            return self._hit(same(repeated))
        try:
            vector = await self._vector(question.text)
        except UnfitEntry as unfit:
            return self._join(asked.key, Miss(unfit.message))
        best = self._judging.best(await self._judging.near(question, vector))
        if best is not None:
            self.cuts.looked_up(question.task, best.score)
            if self._serves(best, question.task):
                self.shelf.hit(best.entry.id)
                return self._hit(best)
        miss = Miss(
            self._why_not(best, question.task),
            vector.astype("<f4").tobytes(),
            self._embedder.name,
            grey=self._grey(best, question.task),
        )
        return self._join(asked.key, miss)

    async def follow(self, flight: str) -> bytes | None:
        return await self._flights.follow(flight)

    async def tend(self, flight: str) -> int:
        return self._flights.tend(flight)

    async def land(self, flight: str, answer: bytes | None) -> None:
        self._flights.land(flight, answer)

    async def used(self, task: str, entry_id: int, score: float) -> None:
        self.shelf.hit(entry_id)
        self.cuts.looked_up(task + VERIFIED, score + LIFT)

    async def offer(self, offered: Offered) -> None:
        question = offered.question
        try:
            vector = await self._given(offered.vector, question.text)
            fresh = load(offered.answer)
            compared = await self._learn(question, vector, fresh) if offered.learn else ([], [])
            kept = await self.shelf.add(self._entry(offered, fresh, vector))
        except UnfitEntry:
            self._metrics.offered("unfit")
        except Exception:
            self._metrics.offered("failed")
            raise
        else:
            self._metrics.offered("unwanted" if kept is None else "kept")
            if kept is not None:
                self.shelf.compared(kept.id, *compared)

    async def verdict(self, verdict: Verdict) -> bool | None:
        question = verdict.question
        task = self._tasks(question.task)
        fresh = None if verdict.fresh is None else load(verdict.fresh)
        served = load(verdict.served)
        right = None if fresh is None else await self._agreement.right(served, fresh, task)
        self._metrics.checked(task.name, "hit", right=right)
        await self._evidence.add(
            Checked(question.tenant, task.name, verdict.request_id, verdict.score, right)
        )
        if right is None:
            return None
        if verdict.verified:
            self.cuts.observe(task.name + VERIFIED, verdict.score + LIFT, wrong=not right)
        else:
            self.cuts.observe(task.name, verdict.score, wrong=not right)
        self.shelf.judged(verdict.entry_id, wrong=not right)
        if not right and fresh is not None:
            await self._forget(verdict.entry_id, "audit")
            await self._examine_siblings(question, fresh, task)
        return right

    async def evict(self, request_id: str) -> bool:
        gone = await self.shelf.evict(request_id)
        self._metrics.evicted("spot_check", len(gone))
        for entry in gone:
            await self._examine_alike(entry)
        return bool(gone)

    def _join(self, key: str, miss: Miss) -> Found:
        flight, first = self._flights.join(key)
        return replace(miss, flight=flight) if first else Follow(flight)

    def _serves(self, best: Judged, task: str) -> bool:
        return self.cuts.cut(task).allows(best.score)

    def _hit(self, best: Judged) -> Hit:
        entry = best.entry
        return Hit(
            entry_id=entry.id,
            answer=entry.answer,
            exact=best.exact,
            score=best.score,
            probability=best.judgement.probability,
            cosine=best.judgement.cosine,
            explained=best.explain(),
            age_s=max(0.0, self._clock() - entry.created_at),
            saved_usd=entry.cost_usd,
        )

    def _grey(self, best: Judged | None, task: str) -> Grey | None:
        """What a yes of the verifier would make good enough."""
        if best is None or not self._verifies:
            return None
        allowed = self.cuts.cut(task + VERIFIED).allows(best.score + LIFT)
        return Grey(self._hit(best), best.entry.text) if allowed else None

    def _why_not(self, best: Judged | None, task: str) -> str:
        if best is None:
            return "nothing is stored in this scope"
        cut = self.cuts.cut(task).score
        return f"{best.explain()}; score {best.score:.2f} is below the cut of {cut:.2f}"

    def _entry(self, offered: Offered, fresh: Answer, vector: Vector) -> NewEntry:
        return NewEntry(
            question=offered.question,
            vector=vector,
            answer=offered.answer,
            tier=fresh.tier,
            model=fresh.model,
            simulated=fresh.simulated,
            cost_usd=offered.cost_usd,
            request_id=offered.request_id,
            expires_at=self._clock() + offered.ttl_s,
            asked_at=offered.asked_at,
        )

    async def _learn(
        self, question: Question, vector: Vector, fresh: Answer
    ) -> tuple[list[int], list[int]]:
        """Compares the fresh answer with the stored ones around it, which shows for nothing whether
        the best of them would have served. Returns the entries that agree, and those that differ.
        """
        judged = await self._judging.near(question, vector)
        best = self._judging.best(judged)
        task = self._tasks(question.task)
        agrees: list[int] = []
        differs: list[int] = []
        for one in self._judging.telling(judged):
            right = await self._agreement.right(load(one.entry.answer), fresh, task)
            if right is not None:
                (agrees if right else differs).append(one.entry.id)
            if best is not None and one.entry.id == best.entry.id and best.score >= LOWEST:
                await self._would_have(best, task, right)
        return agrees, differs

    async def _would_have(self, best: Judged, task: TaskSettings, right: bool | None) -> None:
        """What would have been given is now known to be right, or wrong."""
        self._metrics.checked(task.name, "miss", right=right)
        if right is None:
            return
        self.cuts.observe(task.name, best.score, wrong=not right)
        self.shelf.judged(best.entry.id, wrong=not right)
        if best.entry.wrong + 1 >= BAD and best.entry.wrong >= best.entry.right and not right:
            await self._forget(best.entry.id, "evidence")

    async def _examine_siblings(
        self, question: Question, fresh: Answer, task: TaskSettings
    ) -> None:
        """Whatever else would have been given for this question must say what is right."""
        vector = await self._vector(question.text)
        for other in await self._judging.near(question, vector, SIBLINGS):
            if not self._serves(other, task.name):
                continue
            stored = load(other.entry.answer)
            if await self._agreement.right(stored, fresh, task) is False:
                self.cuts.observe(task.name, other.score, wrong=True)
                await self._forget(other.entry.id, "sibling")

    async def _examine_alike(self, wrong: Entry) -> None:
        """Whatever else would have been given for its question and says the same is wrong, too."""
        question = Question(wrong.scope, wrong.tenant, wrong.task, wrong.text)
        task = self._tasks(wrong.task)
        for other in await self._judging.near(question, await self._vector(wrong.text), SIBLINGS):
            if not self._serves(other, wrong.task):
                continue
            says = await self._agreement.right(load(other.entry.answer), load(wrong.answer), task)
            if says:
                await self._forget(other.entry.id, "sibling")

    async def _forget(self, entry_id: int, reason: str) -> None:
        if await self.shelf.drop(entry_id):
            self._metrics.evicted(reason)

    async def _vector(self, text: str) -> Vector:
        """`UnfitEntry` where the embedder reads only the beginning: texts that differ later would
        look the same.
        """
        encoded = await self._embedder.encode([text])
        if encoded.cut:
            raise UnfitEntry(CUT)
        vector: Vector = encoded.vectors[0]
        return vector

    async def _given(self, vector: bytes, text: str) -> Vector:
        """The vector that came along, else a new one."""
        import numpy as np  # noqa: PLC0415 - in an extra

        if not vector:
            return await self._vector(text)
        return np.frombuffer(vector, "<f4").astype(np.float32)
