"""Filling the shelf from past answers, many at a time."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from cache.embedder.base import TextEmbedder
from cache.semantic.answer import Answer, dump
from cache.semantic.entry import CUT, NewEntry, UnfitEntry, Vector
from cache.semantic.question import Question
from cache.semantic.shelf import Shelf

TOGETHER = 256


@dataclass(frozen=True, slots=True)
class Past:
    """An answer that was given before. `line`: where it stands in its file, from 1."""

    line: int
    question: Question
    answer: Answer
    cost_usd: Decimal | None
    ttl_s: float


class Filling:
    """Add past answers, then `finish`. Of the same question in the same scope the last one stays.
    `unfit` hears of those that cannot be kept, and why.
    """

    def __init__(
        self, embedder: TextEmbedder, shelf: Shelf, unfit: Callable[[int, str], None], run: str
    ) -> None:
        self._embedder = embedder
        self._shelf = shelf
        self._unfit = unfit
        self._run = run
        self._waiting: dict[tuple[str, str], Past] = {}
        self._seen: set[tuple[str, str]] = set()
        self.repeated = 0

    @property
    def kept(self) -> int:
        return len(self._seen)

    async def add(self, past: Past) -> None:
        """Waits where enough have gathered to be embedded and written together."""
        key = (past.question.scope, past.question.text)
        self.repeated += key in self._waiting or key in self._seen
        self._waiting[key] = past
        if len(self._waiting) >= TOGETHER:
            await self.finish()

    async def finish(self) -> None:
        waiting, self._waiting = list(self._waiting.values()), {}
        if not waiting:
            return
        encoded = await self._embedder.encode([past.question.text for past in waiting])
        for at in encoded.cut:
            self._unfit(waiting[at].line, CUT)
        read = [at for at in range(len(waiting)) if at not in encoded.cut]
        entries = [self._entry(waiting[at], encoded.vectors[at]) for at in read]
        waiting = [waiting[at] for at in read]
        # All at once, so that they share transactions.
        done = await asyncio.gather(*map(self._shelf.add, entries), return_exceptions=True)
        for past, result in zip(waiting, done, strict=True):
            if isinstance(result, UnfitEntry):
                self._unfit(past.line, result.message)
            elif isinstance(result, BaseException):
                raise result
            else:
                self._seen.add((past.question.scope, past.question.text))

    def _entry(self, past: Past, vector: Vector) -> NewEntry:
        answer = past.answer
        return NewEntry(
            question=past.question,
            vector=vector,
            answer=dump(answer),
            tier=answer.tier,
            model=answer.model,
            simulated=answer.simulated,
            cost_usd=past.cost_usd,
            request_id=f"{self._run}-{past.line}",
            expires_at=time.time() + past.ttl_s,
        )
