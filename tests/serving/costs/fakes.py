"""Scripted tiers, and what tests of the ledger share."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import RowMapping

from serving.backend import Attempt, Backend, Call, ChunkStream
from serving.costs.bill import bill
from serving.costs.ledger import Ledger
from serving.costs.metered import Metered
from serving.costs.price import MTOK, Price, Rates
from serving.settings.tiers import TierSettings
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, Chunk, Completion, Usage

REQUEST = ChatRequest.model_validate(
    {"model": "auto", "messages": [{"role": "user", "content": "Where is my card?"}]}
)
USAGE = Usage(prompt_tokens=1_000, completion_tokens=200, cached_tokens=400)


def flat_price(per_mtok_in: str | int, per_mtok_out: str | int) -> Price:
    """Cached tokens cost a tenth, one-hour writes twice."""
    base = Decimal(per_mtok_in) / MTOK
    rates = Rates(base, Decimal(per_mtok_out) / MTOK, base / 10, base, base * 2)
    return Price(rates, source="a test")


CHEAP = flat_price(1, 5)
DEAR = flat_price(4, 20)


def tier(name: str = "small", **given: Any) -> TierSettings:
    """A mock tier; `hosted` makes it one that someone else bills."""
    backend: Mapping[str, Any] = {"engine": "mock"}
    if given.pop("hosted", False):
        backend = {"engine": "anthropic"}
    elif given.pop("local", False):
        backend = {"engine": "openai", "base_url": "http://127.0.0.1:1/v1"}
    body = {"name": name, "model": f"{name}-model", "backend": backend, **given}
    return TypeAdapter(TierSettings).validate_python(body)


def call(request_id: str = "req_1", **given: Any) -> Call:
    values = {"tenant": "acme", "deadline": time.monotonic() + 30, **given}
    return Call(request_id=request_id, **values)


async def rows(database: Database) -> Sequence[RowMapping]:
    """The ledger, oldest first."""
    async with database.read() as connection:
        query = attempts.select().order_by(attempts.c.created_at, attempts.c.id)
        return (await connection.execute(query)).mappings().all()


def completion(usage: Usage = USAGE) -> Completion:
    return Completion("c", 1, "m", (Choice(content="On its way."),), usage)


def head() -> Chunk:
    return Chunk("c", 1, "m")


class Answers:
    """Answers with `completion`, or raises `error`; `hang` waits for ever before either."""

    def __init__(
        self,
        answer: Completion | None = None,
        *,
        error: Exception | None = None,
        hang: bool = False,
    ) -> None:
        self.answer = answer or completion()
        self.error = error
        self.hang = hang
        self.called = asyncio.Event()

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        self.called.set()
        if self.hang:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.answer

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        raise NotImplementedError


class Streams:
    """Yields `chunks`, then raises `error` or hangs; `closed` is set once nobody reads on."""

    def __init__(
        self, chunks: Sequence[Chunk], *, error: Exception | None = None, hang: bool = False
    ) -> None:
        self.chunks = chunks
        self.error = error
        self.hang = hang
        self.closed = asyncio.Event()

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        raise NotImplementedError

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        try:
            for chunk in self.chunks:
                await asyncio.sleep(0)
                yield chunk
            if self.hang:
                await asyncio.Event().wait()
            if self.error is not None:
                raise self.error
        finally:
            self.closed.set()


def only(asked: Call) -> Attempt:
    """The one attempt that the call made."""
    (attempt,) = asked.trace.attempts
    return attempt


def metered(inner: Backend, ledger: Ledger, *, price: Price | None = CHEAP, **of: Any) -> Metered:
    """`inner` as a tier; `of` are the tier's settings, or the meter's `thinking_tokens`."""
    thinking = of.pop("thinking_tokens", 0)
    return Metered(
        inner, tier=tier(**of), price=price, ledger=ledger, thinking_room=lambda _: thinking
    )


def ledger_on(database: Database, **given: Any) -> Ledger:
    values = {"flush_interval_s": 60.0, "max_buffered_rows": 10_000, **given}
    return Ledger(database, baseline=DEAR, baseline_tier="large", **values)


def opened(ledger: Ledger, asked: Call | None = None, **given: Any) -> Attempt:
    """An attempt whose figures are complete."""
    values = {"kind": "attempt", "tier": "small", "model": "m", "simulated": True, **given}
    attempt = ledger.open(asked or call(), **values)
    if attempt.kind != "cache_hit":
        bill(attempt, CHEAP, USAGE)
    attempt.latency_ms = 12.5
    return attempt
