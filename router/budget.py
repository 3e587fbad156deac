"""A daily allowance in USD that holds under concurrency: what may be spent is set aside first."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal

SpentToday = Callable[[], Awaitable[Decimal]]
"""What has been spent since midnight UTC, in USD, as the ledger knows it."""


def utc_today() -> date:
    return datetime.now(UTC).date()


class DailyBudget:
    """`spent_today` is asked at first use and whenever a day begins, so that a restart does not
    grant the allowance again; between those, own spending is added to it.
    """

    def __init__(
        self, cap: Decimal, spent_today: SpentToday, today: Callable[[], date] = utc_today
    ) -> None:
        self._cap = cap
        self._spent_today = spent_today
        self._today = today
        self._day: date | None = None
        self._spent = Decimal(0)
        self._set_aside = Decimal(0)
        self._lock = asyncio.Lock()

    async def set_aside(self, usd: Decimal) -> bool:
        """Sets `usd` aside, the most that a thing may cost; False where it could break the cap."""
        async with self._lock:
            today = self._today()
            if today != self._day:
                self._spent = await self._spent_today()
                self._day = today
        if self._spent + self._set_aside + usd > self._cap:
            return False
        self._set_aside += usd
        return True

    def settle(self, usd: Decimal, cost: Decimal) -> None:
        """What was set aside as `usd` has cost `cost` in the end."""
        self._set_aside -= usd
        self._spent += cost
