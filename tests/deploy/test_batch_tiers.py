"""Which tiers have batches, when storing a prefix pays, and that no cost of theirs is lost."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from deploy.adapters import open_adapters
from deploy.batch_tiers import batch_tiers, booking, cheaper_live, pays_of
from serving.batch.hosted.values import Alike, LateResult
from serving.batches import BatchResult, result_key
from serving.costs.ledger import Ledger
from serving.costs.rate_card import RateCard, tier_price
from serving.errors import TierProtocolError
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.telemetry.metrics import Metrics
from tests.e2e.configs import claude_tier, mock_tier
from tests.serving.hosted.fakes import answer

CARD = RateCard.load()
TOKENS = {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 2}


def openai_tier(name: str, **backend: Any) -> dict[str, Any]:
    engine = {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", **backend}
    return {"name": name, "model": name, "backend": engine, "price": TOKENS}


def settings(*tiers: dict[str, Any], **changes: Any) -> Settings:
    return Settings.model_validate({"tiers": list(tiers), "batch": {"enabled": True}, **changes})


async def found(chosen: Settings) -> set[str]:
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        stack.callback(metrics.close)
        adapters = await open_adapters(chosen.tiers, stack, metrics)
        return set(batch_tiers(chosen, CARD, adapters, stack))


async def test_tiers_with_a_batch_endpoint_and_a_price_are_found() -> None:
    tiers = [
        mock_tier("small"),
        openai_tier("plain"),
        openai_tier("batched", batches=True),
        claude_tier("sonnet", "claude-sonnet-5-5"),
    ]
    assert await found(settings(*tiers)) == {"batched", "sonnet"}
    assert await found(settings(*tiers, batch={"enabled": True, "hosted": False})) == set()
    assert await found(settings(*tiers, mode="observe")) == set()


async def test_a_tier_without_a_batch_price_is_called_live() -> None:
    tier = {**claude_tier("sonnet", "claude-sonnet-5-5"), "price": {"kind": "gpu"}}
    tier["price"] |= {"gpu_hour": 1, "prefill_tokens_per_s": 1, "decode_tokens_per_s": 1}
    assert await found(settings(mock_tier("small"), tier)) == set()


@pytest.mark.parametrize(
    ("lines", "tokens", "pays"),
    [(1, 5_000, False), (2, 5_000, False), (3, 5_000, True), (100, 5_000, True), (100, 400, False)],
)
def test_a_prefix_pays_from_three_lines_on_where_it_can_be_stored(
    lines: int, tokens: int, pays: bool
) -> None:
    """At writes of 2 and reads of 0.05 each line must find it with 0.51 or more."""
    tier = TierSettings.model_validate(claude_tier("opus", "claude-opus-5-5"))
    rule = pays_of(tier, tier_price(tier, CARD), 0.8)
    assert rule is not None
    assert rule(lines, tokens) is pays


def test_no_prefix_pays_where_few_would_find_it() -> None:
    tier = TierSettings.model_validate(claude_tier("opus", "claude-opus-5-5"))
    rule = pays_of(tier, tier_price(tier, CARD), 0.5)
    assert rule is not None
    assert not rule(1_000, 5_000)
    off = {**claude_tier("opus", "claude-opus-5-5")}
    off["backend"]["prompt_cache"] = {"mode": "off"}
    tier = TierSettings.model_validate(off)
    assert pays_of(tier, tier_price(tier, CARD), 0.8) is None


@pytest.mark.parametrize(
    ("alike", "live"),
    [
        (Alike(100, 3_000, 20, 50), True),  # 3,000 tokens at a tenth, or at half of a fifth anew
        (Alike(1, 3_000, 20, 50), False),  # nobody stored it
        (Alike(100, 400, 20, 50), False),  # too short to be stored
        (Alike(100, 3_000, 20, 2_000), False),  # the answer is what costs
        (Alike(100, 3_000, 5_000, 50), False),
    ],
)
def test_a_long_prefix_before_short_answers_costs_less_live(alike: Alike, live: bool) -> None:
    tier = TierSettings.model_validate(claude_tier("sonnet", "claude-sonnet-5-5"))
    rule = cheaper_live(tier, tier_price(tier, CARD), 0.8)
    assert rule is not None
    assert rule(alike) is live


def test_where_all_find_what_is_stored_a_batch_is_cheaper() -> None:
    tier = TierSettings.model_validate(claude_tier("sonnet", "claude-sonnet-5-5"))
    rule = cheaper_live(tier, tier_price(tier, CARD), 0.98)
    assert rule is not None
    assert not rule(Alike(1_000, 3_000, 20, 50))


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[tuple[Database, Ledger, Settings]]:
    database = await Database.open(f"sqlite:///{tmp_path / 'x.db'}")
    chosen = settings(mock_tier("small"), claude_tier("sonnet", "claude-sonnet-5-5"))
    ledger = Ledger(database, baseline=None, flush_interval_s=0.05, max_buffered_rows=100)
    await ledger.start()
    yield database, ledger, chosen
    await ledger.close()
    await database.close()


def late(result: BatchResult) -> LateResult:
    return LateResult("acme", "key-1", "sonnet", "req-1", 1, result)


async def test_what_nobody_waited_for_is_in_the_ledger_once(
    books: tuple[Database, Ledger, Settings],
) -> None:
    database, ledger, chosen = books
    book = booking(chosen, CARD, ledger)
    result = BatchResult("sw-1", "succeeded", answer(tokens=3), cost_usd=Decimal("0.1"))
    await book(late(result))
    await book(late(result))  # as after a crash
    await book(late(BatchResult("sw-2", "expired", None, TierProtocolError("x"), Decimal(0))))
    async with database.read() as connection:
        (row,) = (await connection.execute(select(attempts))).all()
    assert row.id == f"att_{result_key('req-1', 'sonnet', 1)}"
    assert (row.service, row.outcome, row.reason) == ("batch", "cancelled", "nobody_waited")
    assert (row.tenant, row.key_id, row.request_id) == ("acme", "key-1", "req-1")
    assert row.cost == (7 * Decimal(1) + 3 * Decimal(5)) / 1_000_000
    assert row.latency_ms is None


async def test_an_answer_that_could_not_be_read_has_an_unknown_cost(
    books: tuple[Database, Ledger, Settings],
) -> None:
    database, ledger, chosen = books
    result = BatchResult("sw-1", "errored", error=TierProtocolError("unreadable"))
    await booking(chosen, CARD, ledger)(late(result))
    async with database.read() as connection:
        (row,) = (await connection.execute(select(attempts))).all()
    assert (row.cost, row.error) == (None, "tier_protocol_error")
