"""Metering of embedders: a row of its own kind per call, hosted intents first."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from serving.backend import OWN_TENANT, Call, Embedder
from serving.costs.attribution import Parts, Row, attribute
from serving.costs.ledger import Ledger
from serving.costs.metered_embedder import MeteredEmbedder, most_used
from serving.costs.report import compute
from serving.errors import (
    Overloaded,
    StepwellError,
    TierMisconfigured,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.storage.database import Database
from serving.wire.completion import Usage
from serving.wire.embeddings import EmbeddingRequest, Embeddings
from tests.serving.costs.fakes import CHEAP, call, ledger_on, only, rows, tier
from tests.serving.engines.embedders import USAGE, Embeds, wanted
from tests.serving.storage.rows import break_down, repair

COST = CHEAP.cost(USAGE)


def metered(inner: Embedder, ledger: Ledger, **of: Any) -> MeteredEmbedder:
    price = of.pop("price", CHEAP)
    return MeteredEmbedder(inner, tier=tier("mini", **of), price=price, ledger=ledger)


async def written(database: Database, ledger: Ledger) -> Mapping[Any, Any]:
    await ledger.flush()
    (row,) = await rows(database)
    return row


async def test_a_call_becomes_a_row(database: Database, ledger: Ledger) -> None:
    asked = call(feature="search")
    made = await metered(Embeds(), ledger).embed(wanted("a", "b"), asked)
    assert made.usage == USAGE
    row = await written(database, ledger)
    assert (row["kind"], row["tier"], row["model"]) == ("embedding", "mini", "mini-model")
    assert (row["outcome"], row["reason"], row["simulated"]) == ("accepted", "embedded", True)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (1_000, 0)
    assert (row["cost"], row["baseline_cost"]) == (COST, COST), "it saves nothing and loses nothing"
    assert (row["feature"], row["tenant"]) == ("search", "acme")
    assert row["latency_ms"] is not None
    assert asked.trace.cost_usd == asked.trace.baseline_cost_usd == COST


async def test_an_unknown_price_stays_unknown(database: Database, ledger: Ledger) -> None:
    await metered(Embeds(), ledger, price=None).embed(wanted(), call())
    row = await written(database, ledger)
    assert (row["cost"], row["baseline_cost"]) == (None, None)


async def test_a_usage_that_never_came_is_an_upper_bound(
    database: Database, ledger: Ledger
) -> None:
    request = wanted("How do I reset my password?")
    made = await metered(Embeds(usage=Usage()), ledger).embed(request, call())
    assert made.usage == most_used(request)
    assert made.usage.estimated
    row = await written(database, ledger)
    assert row["usage_estimated"]
    assert row["cost"] == CHEAP.upper_bound(made.usage)


def test_the_most_that_a_request_can_use() -> None:
    assert most_used(wanted([1] * 10, [2] * 5)).prompt_tokens == 15 + 2 * 4
    assert most_used(wanted("How do I reset my password?")).prompt_tokens >= 10


@pytest.mark.parametrize(
    ("error", "billed"),
    [
        (TierRejected("no"), False),
        (TierUnavailable("down"), False),
        (TierMisconfigured("key"), False),
        (TierTimeout("late"), True),
        (KeyError("odd"), True),
    ],
)
async def test_what_fails_is_judged_and_billed_at_most(
    database: Database, ledger: Ledger, error: Exception, billed: bool
) -> None:
    with pytest.raises(type(error)):
        await metered(Embeds(error), ledger).embed(wanted(), call())
    row = await written(database, ledger)
    code = error.code if isinstance(error, StepwellError) else "KeyError"
    assert (row["outcome"], row["error"]) == ("failed", code)
    assert (row["cost"] > 0) is billed is row["usage_estimated"]
    assert row["baseline_cost"] is None


async def test_a_client_that_leaves(database: Database, ledger: Ledger) -> None:
    inner = Embeds(hang=True)
    task = asyncio.create_task(metered(inner, ledger).embed(wanted(), call()))
    await inner.called.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    row = await written(database, ledger)
    assert (row["outcome"], row["usage_estimated"]) == ("cancelled", True)
    assert row["cost"] > 0


class Looks:
    """Sees what stands in the ledger while it is asked."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.seen: Mapping[Any, Any] = {}

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        (self.seen,) = await rows(self.database)
        return await Embeds().embed(request, call)


async def test_a_hosted_call_is_written_before_it_leaves(
    database: Database, ledger: Ledger
) -> None:
    inner, request = Looks(database), wanted("x" * 1_000)
    hosted = metered(inner, ledger, local=True)
    await hosted.embed(request, call())
    bound = most_used(request)
    assert inner.seen["outcome"] == "intent"
    assert inner.seen["kind"] == "embedding"
    assert inner.seen["cost"] == CHEAP.upper_bound(bound)
    row = await written(database, ledger)
    assert (row["outcome"], row["cost"]) == ("accepted", COST)


async def test_it_does_not_leave_unwritten(database: Database, ledger: Ledger) -> None:
    inner = Embeds()
    await break_down(database)
    asked = call()
    with pytest.raises(TierUnavailable) as caught:
        await metered(inner, ledger, local=True).embed(wanted(), asked)
    assert caught.value.code == "ledger_unavailable"
    assert inner.asked == []
    assert only(asked).cost_usd == Decimal(0)
    await repair(database)


async def test_a_full_ledger_refuses_work(database: Database) -> None:
    ledger = ledger_on(database, max_buffered_rows=1)
    await break_down(database)
    inner = Embeds()
    await metered(inner, ledger).embed(wanted(), call())
    with pytest.raises(Overloaded):
        await metered(inner, ledger).embed(wanted(), call())
    assert len(inner.asked) == 1
    await repair(database)
    await ledger.close()


async def test_the_report_adds_up(database: Database, ledger: Ledger) -> None:
    mini = metered(Embeds(TierTimeout("late")), ledger)
    with pytest.raises(TierTimeout):
        await mini.embed(wanted(), call("req_1"))
    await mini.embed(wanted(), call("req_1"))
    await mini.embed(wanted(), call("req_2"))
    await ledger.flush()
    report = await compute(database, [])
    total = report.total
    assert (total.requests, total.rows, total.embeddings, total.attempts) == (2, 3, 3, 0)
    assert (total.accepted, total.failed) == (2, 1)
    assert total.spend_usd == 2 * COST + total.recoverable_usd
    assert total.recoverable_usd > 0
    assert (total.baseline_usd, total.unpriced_baseline) == (2 * COST, 0)
    assert total.prompt_tokens >= 2_000
    (lost,) = report.lost
    assert (lost.tier, lost.outcome, lost.reason) == ("mini", "failed", "tier_timeout")
    (by_tier,) = next(b.lines for b in report.breakdowns if b.by == "tier")
    assert by_tier.name == "mini"


async def test_an_embedding_beside_a_chat_leaves_its_baseline_alone(ledger: Ledger) -> None:
    asked = call()
    await metered(Embeds(), ledger).embed(wanted(), asked)
    assert asked.trace.baseline_cost_usd == COST
    answer = ledger.open(asked, kind="attempt", tier="large", model="m", simulated=True)
    answer.cost_usd = answer.list_cost_usd = Decimal(2)
    answer.judge("accepted", "")
    assert asked.trace.baseline_cost_usd == Decimal(2)
    assert asked.trace.cost_usd == COST + Decimal(2)


async def test_what_the_cache_embeds_for_itself_is_no_saving(ledger: Ledger) -> None:
    own = call(tenant=OWN_TENANT)
    await metered(Embeds(), ledger).embed(wanted(), own)
    (attempt,) = own.trace.attempts
    assert [attempt.cost_usd, attempt.baseline_cost_usd] == [COST, 0]
    assert attribute(Row.of(attempt)) == Parts(checks=-COST)
    keyed = call(tenant=OWN_TENANT, key_id="k")
    await metered(Embeds(), ledger).embed(wanted(), keyed)
    assert keyed.trace.baseline_cost_usd == COST, "a tenant of that name has a key"
