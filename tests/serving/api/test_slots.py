"""Requests in flight, counted down whatever happens."""

import pytest

from serving.api.auth import Caller
from serving.api.slots import Slots
from serving.errors import Overloaded, RateLimited
from serving.settings.keys import KeyLimits


def caller(name: str | None = None, most: int | None = None) -> Caller:
    return Caller("t", name, frozenset(), KeyLimits(max_concurrent=most))


def test_a_full_house_says_so() -> None:
    slots = Slots(2)
    with slots.taken(caller()), slots.taken(caller()):
        with pytest.raises(Overloaded) as caught, slots.taken(caller()):
            pass
        assert caught.value.retry_after == 1
    with slots.taken(caller()), slots.taken(caller()):
        pass


def test_a_key_has_its_own_share() -> None:
    slots = Slots(10)
    with (
        slots.taken(caller("a", 1)),
        slots.taken(caller("b", 1)),
        pytest.raises(RateLimited),
        slots.taken(caller("a", 1)),
    ):
        pass


def test_a_slot_comes_back_after_an_error() -> None:
    slots = Slots(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.taken(caller("a", 1)):
            raise ZeroDivisionError
    with slots.taken(caller("a", 1)):
        pass
