"""A real ledger, and tiers that are metered by it and can be parked."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from router.live import CascadeBackend
from router.route import OnAccepted
from router.rung import Rung
from serving.backend import Ability, Attempt, Call
from serving.batches import BatchResult, Journal, Parking
from serving.costs.ledger import Ledger
from serving.costs.metered import Metered
from serving.costs.price import Price, Rates
from serving.engines.parkable import Parkable
from serving.errors import StepwellError
from serving.settings.tasks import TaskSettings
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, Completion, Usage
from tests.router.fakes import (
    GATE,
    UNSURE,
    Reply,
    Scripted,
    make_request,
    make_task,
    one_task,
    tier_settings,
)

MTOK = Decimal(1_000_000)
ROW = ("tier", "outcome", "reason", "service")
"""Columns of attempts to look at."""
LOCAL = ("small", "escalated", "gate", "live")
WANTS_FINE = make_task(validators=[{"kind": "words", "required": ["fine"]}])


def price(usd_per_mtok: int) -> Price:
    """With a batch at half of it."""
    rate = Decimal(usd_per_mtok) / MTOK
    return Price(Rates(rate, rate, rate, rate, rate), "test", batch_factor=Decimal("0.5"))


@dataclass
class Books:
    """A ledger on a database of its own; `heard` is what its observers heard of."""

    database: Database
    ledger: Ledger
    heard: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    async def opened(cls, url: str) -> "Books":
        database, heard = await Database.open(url), list[tuple[str, str]]()

        def observe(attempt: Attempt, _call: Call) -> None:
            heard.append((attempt.tier, attempt.outcome))

        ledger = Ledger(
            database,
            baseline=price(10),
            baseline_tier="top",
            flush_interval_s=60,
            max_buffered_rows=100,
            observers=[observe],
        )
        return cls(database, ledger, heard)

    async def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """All rows in the order of their attempts, once everything has been written."""
        await asyncio.sleep(0)
        await self.ledger.flush()
        query = select(*(attempts.c[name] for name in columns)).order_by(attempts.c.created_at)
        async with self.database.read() as connection:
            return [tuple(row) for row in await connection.execute(query)]


@dataclass
class House:
    """A small gated tier, a large and a top one (1, 10 and 10 USD per million tokens)."""

    books: Books
    tiers: dict[str, Scripted]
    rungs: list[Rung]

    @classmethod
    def of(cls, books: Books, **replies: list[Reply]) -> "House":
        tiers, rungs = {}, []
        for name in ("small", "large", "top"):
            gated = name == "small"
            settings = tier_settings(name, gate=GATE if gated else None, retries=1)
            tiers[name] = inner = Scripted(settings, replies.get(name, []), records=False)
            costs, able = price(1 if gated else 10), Ability(logprobs=gated)
            metered = Metered(inner, tier=settings, price=costs, ledger=books.ledger)
            parkable = Parkable(
                metered, tier=settings, ability=able, price=costs, ledger=books.ledger
            )
            rungs.append(Rung(settings, parkable, able, costs, revise=books.ledger.revise))
        return cls(books, tiers, rungs)

    def cascade(
        self, task: TaskSettings | None = None, on_accepted: OnAccepted | None = None
    ) -> CascadeBackend:
        tasks = one_task(task or make_task())
        return CascadeBackend(self.rungs, tasks=tasks, on_accepted=on_accepted)

    def asked(self) -> list[int]:
        """How often each tier was asked."""
        return [len(tier.requests) for tier in self.tiers.values()]


def hosted(*tiers: str, **fields: Any) -> Journal:
    """Of a request that is parked for these tiers."""
    return Journal(frozenset(tiers or ("large", "top")), **fields)


def answer(text: str = "it is fine", usage: Usage | None = None) -> BatchResult:
    """What a batch gave; its cost is that of the usage at half price."""
    used = usage or Usage(100, 20)
    completion = Completion("id-batch", 7, "large-model", (Choice(content=text),), used)
    return BatchResult("c1", "succeeded", completion, cost_usd=price(10).cost(used, batch=True))


def broken(error: StepwellError, cost: Decimal | None = Decimal(0)) -> BatchResult:
    return BatchResult("c1", "errored", error=error, cost_usd=cost)


async def park(
    backend: CascadeBackend, call: Call, request: ChatRequest | None = None
) -> tuple[Parking, Call]:
    """Where the request is parked, and its call."""
    try:
        await backend.complete(request or make_request(), call)
    except Parking as parking:
        return parking, call
    raise AssertionError("it was answered")


def again(
    parking: Parking, before: Call, call: Call, result: BatchResult | None, *parks: str
) -> Call:
    """`call` as the next run of `before`, with its attempts as a journal brings them back."""
    assert before.journal is not None
    assert call.journal is None
    past: Mapping[str, Any] | None = before.journal.past
    turn = before.journal.turn + 1
    journal = Journal(frozenset(parks), turn, parking.tier, result, past)
    for attempt in before.trace.attempts:
        attempt.sink = None
        call.trace.attempts.append(attempt)
    return Call(before.request_id, before.tenant, call.deadline, trace=call.trace, journal=journal)


DOUBTFUL = Reply("hm", UNSURE)
