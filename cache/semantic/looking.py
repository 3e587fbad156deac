"""What the memory says to a request: a hit, a miss, or that an identical request is on its way."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from cache.semantic.answer import Answer, load
from cache.semantic.audit import Audits, Served
from cache.semantic.behind import Behind
from cache.semantic.memory import Follow, Found, Hit, Memory, Miss
from cache.semantic.question import Asked, asked_by
from cache.semantic.verify import Verifier
from serving.backend import Call, Embedding
from serving.settings.semantic import SemanticSettings
from serving.settings.tasks import TaskSettings
from serving.telemetry.semantic import SemanticMetrics
from serving.wire.chat import ChatRequest

_log = structlog.get_logger("stepwell.cache")


@dataclass(frozen=True, slots=True)
class Look:
    """`asked` is None where the request is not to be cached. `answer` and why it may be given, in
    the ledger's word; where there is none, `miss` says so.
    """

    started: float
    asked: Asked | None = None
    answer: Answer | None = None
    reason: str = ""
    miss: Miss | None = None

    @property
    def flight(self) -> str | None:
        return None if self.miss is None else self.miss.flight


class Looking:
    """Nothing that goes wrong here fails a request: it is a miss."""

    def __init__(
        self,
        memory: Memory,
        behind: Behind,
        *,
        tasks: Callable[[str | None], TaskSettings],
        settings: SemanticSettings,
        audits: Audits,
        metrics: SemanticMetrics,
        verifier: Verifier | None,
        policy: str,
    ) -> None:
        self._memory = memory
        self._behind = behind
        self._tasks = tasks
        self._settings = settings
        self._audits = audits
        self._metrics = metrics
        self._verifier = verifier
        self._policy = policy
        self._failing = False

    async def look_up(self, request: ChatRequest, call: Call) -> Look:
        started = time.monotonic()
        asked = asked_by(request, call, self._tasks(call.task), self._settings, self._policy)
        if isinstance(asked, str):
            return Look(started)
        if asked.off is not None:
            call.trace.note("semantic", "off", asked.off)
        if call.paid:
            # What has been purged while it was parked must not come back by it.
            miss = Miss("it goes on with what is paid for already")
            if asked.question is not None:
                self._missed(miss, asked.question.text, "not asked", call)
            return Look(call.trace.started, asked, miss=miss)
        result, found = await self._ask(asked)
        look = Look(started, asked)
        match found:
            case Hit():
                look = self._hit(look, found, request, call)
            case Follow():
                look = await self._follow(look, found, call)
            case Miss():
                look = await self._verified(replace(look, miss=found), found, request, call)
        if look.answer is not None:
            result = {"exact_cache_hit": "exact", "merged": "merged"}.get(look.reason, "hit")
        elif look.miss is not None and asked.question is not None:
            self._missed(look.miss, asked.question.text, result, call)
        self._metrics.looked_up(result, time.monotonic() - started)
        return look

    async def _ask(self, asked: Asked) -> tuple[str, Found]:
        try:
            async with asyncio.timeout(self._settings.deadline_ms / 1_000):
                found = await self._memory.look_up(asked)
        except TimeoutError:
            return "late", Miss(f"no answer within {self._settings.deadline_ms:g} ms")
        except Exception as error:  # whatever it is, a tier can still answer
            self._fails(error)
            return "failed", Miss(f"the memory failed: {type(error).__name__}")
        if self._failing:
            _log.info("semantic_cache_back")
            self._failing = False
        return "miss", found

    def _fails(self, error: Exception) -> None:
        """One line per outage."""
        if not self._failing:
            _log.error("semantic_cache_failed", error=type(error).__name__)
        self._failing = True

    def _missed(self, miss: Miss, text: str, result: str, call: Call) -> None:
        call.trace.note("semantic", result, miss.reason)
        if call.trace.cache == "off":
            call.trace.cache = "miss"
        if miss.vector:
            call.computed.embedding = Embedding(text, miss.vector, miss.embedder)

    def _hit(
        self, look: Look, hit: Hit, request: ChatRequest, call: Call, *, verified: bool = False
    ) -> Look:
        try:
            answer = load(hit.answer)
        except ValueError as error:
            self._fails(error)
            return replace(look, miss=Miss("the stored answer cannot be read"))
        saved = "" if hit.saved_usd is None else f", {hit.saved_usd:f} USD saved"
        origin = f"answer of {answer.attempt_id}, {hit.age_s:.0f} s old{saved}"
        call.trace.note("semantic", "hit", f"{hit.explained}; {origin}")
        if hit.exact:
            return replace(look, answer=answer, reason="exact_cache_hit")
        assert look.asked is not None
        assert look.asked.question is not None
        task = self._tasks(call.task)
        if hit.saved_usd is not None:
            self._metrics.saved(task.name, float(hit.saved_usd))
        served = Served(request, call, task, look.asked.question, hit, verified=verified)
        self._audits.offer(served)
        return replace(look, answer=answer, reason="semantic_cache_hit")

    async def _verified(self, look: Look, miss: Miss, request: ChatRequest, call: Call) -> Look:
        """A hit after all, if the verifier says that the questions are the same."""
        question = look.asked.question if look.asked is not None else None
        if miss.grey is None or self._verifier is None or question is None:
            return look
        grey = miss.grey
        try:
            same = await self._verifier.same(question, grey.text, grey.hit.saved_usd, call)
        except Exception as error:  # whatever it is, a tier can still answer
            self._fails(error)
            return look
        except asyncio.CancelledError:
            self._behind.land(miss.flight, None)
            raise
        if same is not None:
            word = "the same" if same else "not the same"
            call.trace.note("semantic", "verify", f"{self._verifier.tier}: {word} question")
        if not same:
            return look
        hit = self._hit(look, grey.hit, request, call, verified=True)
        if hit.answer is None:
            return look
        self._behind.land(miss.flight, grey.hit.answer)
        self._behind.do(self._memory.used(question.task, grey.hit.entry_id, grey.hit.score))
        return hit

    async def _follow(self, look: Look, found: Follow, call: Call) -> Look:
        """Waits for an identical request, as long as this one may take."""
        data = None
        try:
            async with asyncio.timeout(max(0.0, call.remaining)):
                data = await self._memory.follow(found.flight)
            answer = None if data is None else load(data)
        except Exception:  # whatever it is, this request can be made on its own
            answer = None
        if answer is None:
            return replace(look, miss=Miss("an identical request gave no answer to share"))
        note = f"identical to a request that was on its way, answer of {answer.attempt_id}"
        call.trace.note("semantic", "merged", note)
        return replace(look, answer=answer, reason="merged")
