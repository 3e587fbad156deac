"""A daily allowance that holds under concurrency and across restarts."""

import asyncio
from datetime import date
from decimal import Decimal

from router.budget import DailyBudget


class Ledger:
    def __init__(self, spent: str = "0") -> None:
        self.spent = Decimal(spent)
        self.asked = 0

    async def __call__(self) -> Decimal:
        self.asked += 1
        await asyncio.sleep(0)
        return self.spent


class Calendar:
    day = date(2026, 1, 1)

    def __call__(self) -> date:
        return self.day


async def test_what_is_set_aside_counts_until_it_is_settled() -> None:
    budget = DailyBudget(Decimal(1), Ledger())
    assert await budget.set_aside(Decimal("0.6"))
    assert not await budget.set_aside(Decimal("0.6"))
    budget.settle(Decimal("0.6"), Decimal("0.1"))
    assert await budget.set_aside(Decimal("0.9"))


async def test_concurrent_takers_cannot_break_the_cap() -> None:
    ledger = Ledger("0.5")
    budget = DailyBudget(Decimal(1), ledger)
    given = await asyncio.gather(*(budget.set_aside(Decimal("0.1")) for _ in range(20)))
    assert sum(given) == 5
    assert ledger.asked == 1


async def test_a_restart_does_not_grant_the_allowance_again() -> None:
    assert not await DailyBudget(Decimal(1), Ledger("1")).set_aside(Decimal("0.01"))


async def test_a_new_day_begins_with_what_the_ledger_knows_of_it() -> None:
    ledger, calendar = Ledger("1"), Calendar()
    budget = DailyBudget(Decimal(1), ledger, calendar)
    assert not await budget.set_aside(Decimal("0.5"))
    ledger.spent, calendar.day = Decimal(0), date(2026, 1, 2)
    assert await budget.set_aside(Decimal("0.5"))
    assert ledger.asked == 2
