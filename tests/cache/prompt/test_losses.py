"""What an invalidator costs."""

import pytest

from cache.prompt.invalidators import Found
from cache.prompt.losses import Loss, Losses
from cache.prompt.sent import Earlier
from tests.cache.prompt.helpers import PRICES, Clock, chain_of, chat, rules, system

ANSWER = {"role": "assistant", "content": "Yes. " * 200}
CHAIN = chain_of(chat(system(rules()), system("It is 10:03."), "May I?", ANSWER, "And now?"))


def found(index: int = 0, **fields: bool) -> Found:
    return Found("timestamp", f"system[{index}]", 3, 5, index, 9, 10, **fields)


def losses(gap: float, calls: int = 5) -> Losses:
    clock = Clock()
    made = Losses(PRICES, clock)
    for _ in range(calls):
        made.called("acme", "support")
        clock.now += gap
    return made


def test_what_could_have_been_read_is_paid_in_full() -> None:
    loss = losses(10.0).of(found(), "acme", "support", CHAIN, Earlier())
    usd = CHAIN.ends[1] * (PRICES.input - PRICES.read)
    assert loss == Loss(pytest.approx(usd), pytest.approx(8_640 * usd))  # type: ignore[arg-type]  # approx


def test_what_stands_before_it_is_not_lost_and_earlier_turns_are() -> None:
    alone = losses(10.0).of(found(1), "acme", "support", CHAIN, Earlier())
    rate = PRICES.input - PRICES.read
    assert alone is not None
    assert alone.per_call == pytest.approx((CHAIN.ends[1] - CHAIN.ends[0]) * rate)
    turns = losses(10.0).of(found(1), "acme", "support", CHAIN, Earlier(turn=2))
    assert turns is not None
    assert turns.per_call == pytest.approx((CHAIN.ends[2] - CHAIN.ends[0]) * rate)


def test_nothing_is_lost_where_nothing_could_be_kept() -> None:
    nothing = Loss(0.0, 0.0)
    of = found(), "acme", "support", CHAIN, Earlier()
    assert losses(4_000.0).of(*of) == nothing
    assert losses(10.0, calls=1).of(*of) == nothing
    assert losses(10.0).of(found(repaired=True), *of[1:]) == nothing
    assert losses(10.0).of(found(), "globex", "support", CHAIN, Earlier()) == nothing


def test_without_a_price_nobody_knows() -> None:
    assert Losses(None, Clock()).of(found(), "acme", "support", CHAIN, Earlier()) is None
