"""One gateway's memory of conversations, on a clock that a test moves, over scripted books."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from router.conversations import Conversations, Recalled
from router.identity import key_of
from router.known import Known, Past
from serving.backend import Attempt, Call, Outcome
from serving.costs.past import PastAttempt, PastTurns
from serving.settings.conversations import ConversationSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage
from tests.router.fakes import make_call

WRITES = Usage(1_000, 50, cache_write_tokens=900)


@dataclass
class Books:
    """A ledger that tells what it is told to; while `silent` it tells nothing."""

    found: PastTurns = field(default_factory=PastTurns)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    since: list[datetime] = field(default_factory=list)
    error: Exception | None = None
    silent: bool = False
    speaks: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(
        self, turns: Sequence[str], *, tenant: str, session: str | None, since: datetime
    ) -> PastTurns:
        self.asked.append(tuple(turns))
        self.since.append(since)
        if self.silent:
            await self.speaks.wait()
        if self.error is not None:
            raise self.error
        return self.found


@dataclass
class Asked:
    call: Call
    found: Recalled

    @property
    def past(self) -> Past | None:
        return self.found.past

    @property
    def missing(self) -> str:
        return self.found.missing

    @property
    def turn(self) -> str | None:
        return self.call.trace.conversation


class Gateway:
    """One gateway's memory on a clock that the test moves."""

    def __init__(self, books: Books | None = None, **settings: Any) -> None:
        self.books = books or Books()
        self.now = 1_800_000_000.0
        self.memory = Conversations(
            ConversationSettings.model_validate(settings),
            read=self.books,
            key=key_of(None),
            clock=lambda: self.now,
            timer=lambda: self.now,
        )
        self._requests = 0

    async def recall(self, *messages: str, **call: Any) -> "Asked":
        self._requests += 1
        asked = make_call(request_id=f"r{self._requests}", **call)
        return Asked(asked, await self.memory.recall(chat(*messages), asked))

    def answers(
        self, call: Call, tier: str, outcome: Outcome = "accepted", usage: Usage | None = None
    ) -> None:
        attempt = Attempt("a", call.kind, tier, "m", self.now, usage=usage or Usage(10, 5))
        attempt.judge(outcome, "")
        self.memory.observe(attempt, call)


def chat(*messages: str) -> ChatRequest:
    """The user and the assistant by turns."""
    roles = ("user", "assistant")
    listed = [{"role": roles[i % 2], "content": text} for i, text in enumerate(messages)]
    return ChatRequest.model_validate({"model": "auto", "messages": listed})


def known(found: Asked) -> Known:
    assert found.past is not None, found.missing
    return found.past.known


def past(tier: str, request: str = "r0", **values: Any) -> PastAttempt:
    given = {"outcome": "accepted", "started_at": 1_800_000_000.0, "usage": Usage(), **values}
    return PastAttempt(request_id=request, tier=tier, **given)
