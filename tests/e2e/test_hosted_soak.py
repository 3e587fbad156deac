"""Hosted calls of which some go wrong: nothing is lost, and the ledger is the API's own account."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.bench.hosted.clients import Fate
from tests.bench.hosted.ledger import LedgerRow
from tests.bench.hosted.processes import Account, Bill
from tests.bench.hosted.reconciled import Reconciled, reconcile
from tests.bench.hosted.soak import FAULTS, soak
from tests.bench.hosted.traffic import TIERS, Asked

REQUESTS = 300
OFTEN = {kind: 3 * share for kind, share in FAULTS.items()}  # so that few requests meet most kinds
ASKED = Asked(number=1, tier="sonnet", stream=True, leaves_at=None)
USD = Decimal("0.0125")


async def test_nothing_is_lost_and_the_ledger_is_the_account(tmp_path: Path) -> None:
    soaked = await soak(REQUESTS, tmp_path, OFTEN, at_once=16)
    assert soaked.lost == []
    assert soaked.money.wrong == ()
    words = Counter(fate.word for _, fate in soaked.fates)
    assert sum(words.values()) == REQUESTS
    assert words["answered"] > REQUESTS / 2
    assert words["left"] > 0
    money = soaked.money
    assert money.certain.usd == money.completed.usd - money.unseen.usd > 0
    assert money.bounded.usd >= money.aborted.usd + money.unseen.usd
    assert money.aborted.calls > 0
    errors = {row.error for row in soaked.rows}
    assert {"tier_protocol_error", "tier_unavailable", "tier_rate_limited"} <= errors
    assert {row.model for row in soaked.rows} == set(TIERS.values())


def row(**changed: Any) -> LedgerRow:
    usual = LedgerRow(
        model=ASKED.model,
        outcome="accepted",
        error=None,
        feature="soak",
        step="1",
        prompt_tokens=ASKED.prompt_tokens,
        completion_tokens=80,
        read=0,
        written=0,
        written_1h=0,
        estimated=False,
        usd=USD,
    )
    return replace(usual, **changed)


def bill(**changed: Any) -> Bill:
    tokens = {"input": ASKED.prompt_tokens, "output": 80}
    tokens |= dict.fromkeys(("cache_read", "cache_write_5m", "cache_write_1h"), 0)
    return replace(Bill("msg_1", ASKED.model, "completed", False, tokens, USD), **changed)


def held(rows: list[LedgerRow], bills: list[Bill], word: Any = "answered") -> Reconciled:
    account = Account(USD, Decimal(0), tuple(bills))
    return reconcile([(ASKED, Fate(word))], rows, account)


def test_a_ledger_that_is_the_account_is_right() -> None:
    found = held([row()], [bill()])
    assert found.wrong == ()
    assert found.certain.usd == found.completed.usd == USD


def test_a_call_that_is_booked_otherwise_than_billed_is_noticed() -> None:
    cent = USD + Decimal("0.000000000001")
    assert held([row(usd=cent)], [bill()]).wrong
    assert held([row(read=100)], [bill()]).wrong
    assert held([row(), row()], [bill()]).wrong
    assert held([row()], [bill(outcome="aborted")]).wrong


def test_an_aborted_call_stands_at_a_bound_that_its_bill_does_not_exceed() -> None:
    bound = row(outcome="failed", estimated=True, usd=2 * USD)
    spoilt = bill(message_id="msg_0", outcome="aborted")
    assert held([bound, row()], [spoilt, bill()]).wrong == ()
    low = replace(bound, usd=USD / 2)
    assert "below" in held([low, row()], [spoilt, bill()]).wrong[0]
    free = replace(bound, estimated=False, prompt_tokens=0, completion_tokens=0, usd=Decimal(0))
    assert "no row" in held([free, row()], [spoilt, bill()]).wrong[0]


def test_a_completed_call_whose_end_nobody_took_in_needs_a_bound_as_well() -> None:
    bound = row(outcome="cancelled", estimated=True, usd=2 * USD)
    found = held([bound], [bill()], "left")
    assert found.wrong == ()
    assert found.unseen.usd == USD
    assert held([], [bill()], "left").wrong


def test_what_is_nobodys_and_what_is_unsettled_is_noticed() -> None:
    assert held([row(), row(step="7")], [bill()]).wrong
    stranger = bill(model="claude-opus-5-5")
    assert held([row()], [bill(), stranger]).wrong
    assert held([row(), row(outcome="intent", estimated=True)], [bill()]).wrong
    assert held([], [], "error").wrong
