"""A tier that may be parked for: what goes through, what is parked, what comes back."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import CoroutineType
from typing import Any

import pytest

from serving.backend import Ability, Call
from serving.batches import BatchResult, Journal, LineState, Parking, cancelled
from serving.costs.ledger import Ledger
from serving.costs.price import Price
from serving.engines.parkable import Parkable
from serving.errors import InvalidRequest, TierError, TierProtocolError
from serving.storage.database import Database
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion, Usage
from tests.serving.costs.fakes import (
    DEAR,
    REQUEST,
    Answers,
    call,
    completion,
    ledger_on,
    metered,
    only,
    tier,
)

HALF = replace(DEAR, batch_factor=Decimal("0.5"))
USAGE = Usage(1_000, 200, cached_tokens=400, cache_write_tokens=300, cache_write_1h_tokens=300)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    yield ledger_on(database)
    await database.close()


def parkable(ledger: Ledger, *, price: Price | None = HALF, **of: Any) -> Parkable:
    settings = tier("large", **of)
    able = Ability(params=frozenset({"temperature"}), tools=False)
    inner = metered(Answers(), ledger, name="large")
    return Parkable(inner, tier=settings, ability=able, price=price, ledger=ledger)


def going_on(result: BatchResult | None, *parks: str) -> Call:
    return call(journal=Journal(frozenset(parks), 1, "large", result))


def gave(made: Completion | None = None, **fields: Any) -> BatchResult:
    state: LineState = "errored" if made is None else "succeeded"
    return BatchResult("c", state, made, **fields)


async def test_without_a_journal_it_is_the_tiers_own_call(ledger: Ledger) -> None:
    work = parkable(ledger).complete(REQUEST, call())
    assert isinstance(work, CoroutineType)
    assert work.__qualname__ == "Metered.complete"  # not even a frame more
    await work


async def test_it_is_parked_as_its_calls_get_it_and_opens_no_attempt(ledger: Ledger) -> None:
    asked = call(journal=Journal(frozenset({"large"})))
    request = ChatRequest.model_validate({**REQUEST.wire(), "seed": 1, "temperature": 0})
    with pytest.raises(Parking) as parking:
        await parkable(ledger).complete(request, asked)
    sent = parking.value.request
    assert (sent.model, sent.seed, sent.temperature) == ("large-model", None, 0)
    assert sent.output_limit == tier("large").output.max_tokens
    assert asked.trace.dropped == ["seed"]
    assert asked.trace.attempts == []


async def test_what_the_tier_cannot_take_is_refused_before_it_is_parked(ledger: Ledger) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    request = ChatRequest.model_validate({**REQUEST.wire(), "tools": tools})
    with pytest.raises(InvalidRequest, match="does not support tools"):
        await parkable(ledger).complete(request, call(journal=Journal(frozenset({"large"}))))


async def test_other_tiers_are_asked(ledger: Ledger) -> None:
    asked = call(journal=Journal(frozenset({"top"}), 1, "top", gave(completion())))
    await parkable(ledger).complete(REQUEST, asked)
    assert only(asked).service == "live"
    assert asked.journal is not None
    assert asked.journal.result is not None  # it is another tier's


async def test_an_answer_is_billed_at_the_batchs_rates(ledger: Ledger) -> None:
    asked = going_on(gave(completion(USAGE)), "large")
    started = time.time()
    await parkable(ledger).complete(REQUEST, asked)
    attempt = only(asked)
    assert attempt.cost_usd == HALF.cost(USAGE, batch=True)
    assert attempt.live_cost_usd == 2 * (attempt.cost_usd or 0)
    assert (attempt.service, attempt.outcome, attempt.latency_ms) == ("batch", "open", None)
    assert (attempt.simulated, attempt.started_at >= started) == (tier("large").simulated, True)


@pytest.mark.parametrize("price", [None, DEAR])
async def test_an_unknown_price_is_unknown(ledger: Ledger, price: Price | None) -> None:
    asked = going_on(gave(completion(USAGE)))
    await parkable(ledger, price=price).complete(REQUEST, asked)
    assert (only(asked).cost_usd, only(asked).usage) == (None, USAGE)


async def test_it_is_given_once(ledger: Ledger) -> None:
    asked, backend = going_on(gave(completion(USAGE)), "large"), parkable(ledger)
    await backend.complete(REQUEST, asked)
    with pytest.raises(Parking):
        await backend.complete(REQUEST, asked)


@pytest.mark.parametrize(
    ("result", "error", "cost"),
    [
        (gave(error=cancelled("large"), cost_usd=Decimal(0)), "batch_cancelled", Decimal(0)),
        (gave(error=TierProtocolError("odd")), "tier_protocol_error", None),
        (gave(cost_usd=Decimal(2)), "tier_protocol_error", Decimal(2)),
    ],
)
async def test_an_error_is_a_failed_attempt(
    ledger: Ledger, result: BatchResult, error: str, cost: Decimal | None
) -> None:
    asked = going_on(result)
    with pytest.raises(TierError) as raised:
        await parkable(ledger).complete(REQUEST, asked)
    assert raised.value.code == error
    attempt = only(asked)
    assert (attempt.outcome, attempt.error, attempt.cost_usd) == ("failed", error, cost)
    assert attempt.latency_ms is None


async def test_an_answer_without_usage_is_estimated(ledger: Ledger) -> None:
    asked = going_on(gave(completion(Usage())))
    found = await parkable(ledger).complete(REQUEST, asked)
    assert found.usage.estimated
    assert found.usage == only(asked).usage
    assert only(asked).cost_usd == HALF.upper_bound(found.usage, batch=True)


async def test_the_same_result_has_the_same_row_and_another_has_another(ledger: Ledger) -> None:
    ids = []
    for turn, request_id in ((1, "a"), (1, "a"), (2, "a"), (1, "b")):
        journal = Journal(frozenset(), turn, "large", gave(completion(USAGE)))
        asked = call(request_id, journal=journal)
        await parkable(ledger).complete(REQUEST, asked)
        ids.append(only(asked).id)
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
