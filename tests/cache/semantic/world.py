"""A semantic cache over a scripted cascade: real entries, decision and thresholds, and an embedder
that hashes words, so that no model is needed.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from cache.decision import MAX_LOGIT, Decision, Judgement, Reason
from cache.embedder.base import Encoded, Vectors
from cache.guards.reading import Reading
from cache.semantic.agree import Agreement
from cache.semantic.audit import Audits
from cache.semantic.cached import SemanticCached
from cache.semantic.cuts import Cuts
from cache.semantic.local import LocalMemory
from cache.semantic.memory import Memory
from cache.semantic.settings import ShelfSettings
from cache.semantic.shelf import Shelf
from cache.semantic.verify import Verifier
from deploy.semantic import compare_answers
from serving.backend import Call, ChunkStream
from serving.settings.semantic import SemanticSettings, TaskSemantic
from serving.settings.tasks import TaskCache, TaskSettings
from serving.storage.database import Database
from serving.storage.semantic import SemanticEvidence
from serving.telemetry.semantic import SemanticMetrics
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion, as_chunks
from tests.cache.fakes import Cascade, RecordingLedger

DIMENSIONS = 64
READS = 200
LIGHT = frozenset(("a", "an", "the", "do", "does", "i", "my", "is", "to", "can", "how", "please"))

ASKED = "How do I reset my password?"
AGAIN = "How can I reset my password?"
OTHER = "Why was my card payment declined yesterday?"


class WordEmbedder:
    """Texts of the same words, light ones aside, have the same vector. It reads `READS` words."""

    name = "words"

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def encode(self, texts: Sequence[str]) -> Encoded:
        lengths = [len(t.split()) for t in texts]
        cut = frozenset(at for at, length in enumerate(lengths) if length > READS)
        return Encoded(await self.embed(texts), tuple(lengths), cut)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return np.stack([_vector(text) for text in texts])


class ByCosine(Decision):
    """A decision that no fit of the shipped one changes: sure of the same words."""

    def __init__(self) -> None:
        self.judged = 0

    def judge(self, cosine: float, a: Reading, b: Reading) -> Judgement:
        self.judged += 1
        score = MAX_LOGIT if a.exact == b.exact else 12 * (cosine - 0.7)
        return Judgement(1 / (1 + math.exp(-score)), score, cosine, (Reason("cosine", score),))


def _vector(text: str) -> Any:
    vector = np.full(DIMENSIONS, 1e-3, np.float32)
    for word in text.lower().replace("?", "").split():
        if word not in LIGHT:
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            vector += np.random.default_rng(list(digest)).standard_normal(DIMENSIONS)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass
class Purse:
    """A budget that says yes until it is empty."""

    left: Decimal = Decimal(100)
    settled: list[Decimal] = field(default_factory=list)

    async def set_aside(self, usd: Decimal) -> bool:
        return usd <= self.left

    def settle(self, usd: Decimal, cost: Decimal) -> None:
        self.settled.append(cost)
        self.left -= cost


@dataclass
class Gated(Cascade):
    """Begins, and answers once `gate` is set; a stream says two chunks before. `cancelled` counts
    those that were ended before.
    """

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        self.begun.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return await super().complete(request, call)

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        chunks = as_chunks(await super().complete(request, call), pieces=4)
        for place, chunk in enumerate(chunks):
            if place == 2:
                self.begun.set()
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
            yield chunk


@dataclass
class World:
    """`inner` is the scripted cascade; `memory` may be shared by the worlds of several gateways."""

    cached: SemanticCached
    memory: LocalMemory
    inner: Cascade
    ledger: RecordingLedger
    embedder: WordEmbedder
    evidence: SemanticEvidence
    audits: Audits
    purse: Purse
    tasks: dict[str, TaskSettings]
    requests: int = 0

    def call(self, task: str = "faq", **fields: Any) -> Call:
        self.requests += 1
        given = {"request_id": f"r{self.requests}", "tenant": "acme", **fields}
        return Call(deadline=time.monotonic() + 60, task=task, **given)

    async def ask(
        self, text: str = ASKED, fields: dict[str, Any] | None = None, **call: Any
    ) -> tuple[Completion, Call]:
        """An answer and its call, once what it left behind is done."""
        made = self.call(**call)
        completion = await self.cached.complete(chat(text, **(fields or {})), made)
        await self.settled()
        return completion, made

    async def stream(self, text: str = ASKED, **call: Any) -> tuple[list[Chunk], Call]:
        made = self.call(**call)
        chunks = [c async for c in self.cached.stream(chat(text, stream=True), made)]
        await self.settled()
        return chunks, made

    async def settled(self) -> None:
        """Nothing is under way in the background any more."""
        while tasks := tuple(self.cached._behind.making._tasks):
            await asyncio.wait(tasks)


def chat(text: str, **fields: Any) -> ChatRequest:
    messages = fields.pop("messages", [{"role": "user", "content": text}])
    return ChatRequest.model_validate({"model": "auto", "messages": messages, **fields})


def task(name: str = "faq", **semantic: Any) -> TaskSettings:
    own = TaskSemantic(**{"delta": 0.2, "audit": 0.0, "compare": "exact", **semantic})
    return TaskSettings(name=name, cache=TaskCache(enabled=True, ttl_s=60, semantic=own))


@asynccontextmanager
async def world(
    *tasks: TaskSettings,
    url: str = "sqlite://",
    settings: SemanticSettings | None = None,
    memory: Memory | None = None,
    decision: Decision | None = None,
    verifier: Verifier | None = None,
    kind: type[Cascade] = Cascade,
    **cascade: Any,
) -> AsyncIterator[World]:
    """`memory` in place of the one in this process, which is there all the same."""
    known = {t.name: t for t in tasks or (task(),)}
    own = settings or SemanticSettings(enabled=True, deadline_ms=5_000)
    async with AsyncExitStack() as stack:
        database = await Database.open(url)
        stack.push_async_callback(database.close)
        metrics = SemanticMetrics(CollectorRegistry())
        embedder, evidence = WordEmbedder(), SemanticEvidence(database)
        local = LocalMemory(
            embedder=embedder,
            shelf=await Shelf.open(
                database, embedder="words", dimensions=DIMENSIONS, settings=ShelfSettings()
            ),
            decision=decision or ByCosine(),
            cuts=Cuts(known.__getitem__, await evidence.thresholds(), metrics),
            agreement=Agreement(compare_answers, embedder),
            evidence=evidence,
            tasks=known.__getitem__,
            metrics=metrics,
            verifies=verifier is not None,
        )
        stack.push_async_callback(local.shelf.close)
        ledger, purse = RecordingLedger(), Purse()
        inner = kind(ledger, **cascade)
        audits = Audits(
            inner=inner,
            memory=memory or local,
            settings=own,
            budget=purse,
            most_usd=lambda _: Decimal("0.5"),
            metrics=metrics,
        )
        cached = SemanticCached(
            inner,
            memory=memory or local,
            tasks=lambda name: known[name or "faq"],
            ledger=ledger,
            settings=own,
            audits=audits,
            metrics=metrics,
            max_entry_bytes=100_000,
            verifier=verifier,
        )
        stack.push_async_callback(cached.close)
        stack.push_async_callback(audits.close, 5)
        yield World(cached, local, inner, ledger, embedder, evidence, audits, purse, known)
