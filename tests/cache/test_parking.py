"""Requests that are parked for a batch, and the exact cache."""

from decimal import Decimal

import pytest

from serving.batches import Parking
from tests.cache.fakes import Parks, parked, resumed
from tests.cache.test_exact import House, ask


class Parked(House):
    """An exact cache over a cascade that parks."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = self.cached._inner = parks = Parks(self.ledger)
        parks.gate.set()


async def test_what_is_parked_is_not_kept() -> None:
    house = Parked()
    for _ in range(2):
        with pytest.raises(Parking):
            await house.cached.complete(ask(), house.call(journal=parked()))
    assert (await house.ask()).trace.cache == "miss"


async def test_the_answer_of_a_batch_is_kept_as_a_live_one() -> None:
    house = Parked()
    await house.ask(journal=resumed())
    hit = await house.ask()
    assert (hit.trace.cache, house.inner.asked) == ("exact", 1)


async def test_what_is_paid_for_is_not_thrown_away_for_a_hit() -> None:
    """An identical request was answered meanwhile."""
    house = Parked()
    await house.ask()
    call = await house.ask(journal=resumed())
    assert (call.trace.cache, house.inner.asked) == ("miss", 2)
    unknown = await house.ask(journal=resumed(answer=False, cost_usd=None))
    assert (unknown.trace.cache, house.inner.asked) == ("miss", 3)


async def test_where_the_batch_gave_nothing_a_hit_is_as_good_as_ever() -> None:
    house = Parked()
    await house.ask()
    failed = resumed(answer=False, cost_usd=Decimal(0))
    assert (await house.ask(journal=failed)).trace.cache == "exact"
    assert (await house.ask(journal=parked())).trace.cache == "exact"
    assert house.inner.asked == 1
