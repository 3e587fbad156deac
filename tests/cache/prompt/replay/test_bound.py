"""No plan costs less than the bound: all plans of small traces are tried."""

import random

import pytest

from cache.prompt.chain import Block
from cache.prompt.economics import RelativePrices
from cache.prompt.oracle import Foresight, Oracle, Use
from cache.prompt.replay.bound import Bound
from cache.prompt.rules import Shelf, ends_of
from tests.cache.prompt.replay.optimum import charged, optimum

PRICES = RelativePrices(0.1, 1.25, 2.0)
GAPS = (0.5, 30.0, 200.0, 299.5, 300.0, 310.0, 900.0, 3_599.0, 3_600.0, 4_000.0)


def chain(*names: str, tokens: int = 100) -> list[Block]:
    """A block is named by itself and all before it."""
    keys = ["/".join(names[: i + 1]).encode() for i in range(len(names))]
    return [Block(key, tokens, i) for i, key in enumerate(keys)]


def bound(uses: list[Use], minimum: int = 0, begins_s: float = 0.0) -> float:
    least = Bound(minimum, begins_s=begins_s)
    for use in reversed(uses):
        least.take(use)
    return least.tokens


def foreseen(uses: list[Use], minimum: int = 0, begins_s: float = 0.0) -> float:
    """What the plan made with foresight costs."""
    foresight = Foresight(minimum, begins_s=begins_s)
    runs = [foresight.take(use) for use in reversed(uses)][::-1]
    shelf = Shelf(minimum, begins_s=begins_s, most=None)
    oracle = Oracle(shelf)
    cost = 0.0
    for use, of_use in zip(uses, runs, strict=True):
        plan = oracle.plan(use, of_use)
        cost += charged(shelf.send(use.chain, ends_of(use.chain), plan.breakpoints, use.at), use)
    return cost


def uses_of(rng: random.Random, count: int, depth: int) -> list[Use]:
    """Prompts that share their beginnings, with blocks of different sizes and gaps that fall on
    all sides of the lifetimes; some at higher prices.
    """
    at, uses = 0.0, []
    for _ in range(count):
        names = [rng.choice("ab") for _ in range(rng.randint(1, depth))]
        blocks = chain(*names, tokens=rng.choice((40, 100)))
        keyed = [Block(b.key + bytes([b.tokens]), b.tokens, b.position) for b in blocks]
        uses.append(Use(keyed, at, PRICES, rng.choice((1.0, 1.0, 1.0, 5.0))))
        at += rng.choice(GAPS)
    return uses


@pytest.mark.parametrize("seed", range(60))
def test_no_plan_costs_less_and_foresight_finds_no_impossible_one(seed: int) -> None:
    rng = random.Random(seed)
    uses = uses_of(rng, 4, 2) if seed % 2 else uses_of(rng, 3, 3)
    minimum, begins = rng.choice((0, 0, 150)), rng.choice((0.0, 0.0, 1.0, 60.0))
    least, best = bound(uses, minimum, begins), optimum(uses, minimum, begins)
    assert least <= best + 1e-9
    assert best <= foreseen(uses, minimum, begins) + 1e-9


def test_where_rules_leave_no_choice_the_bound_is_what_it_costs() -> None:
    alone = [Use(chain(f"own {i}", "end"), 10.0 * i, PRICES) for i in range(5)]
    assert bound(alone) == pytest.approx(5 * 200)
    short = [Use(chain("same"), 10.0 * i, PRICES) for i in range(5)]
    assert bound(short, minimum=101) == pytest.approx(5 * 100)


@pytest.mark.parametrize(
    ("gap", "per_token"),
    [
        (299.0, 1.25 + 3 * 0.1),
        (300.0, 2.0 + 3 * 0.1),  # an entry is gone when its time is up
        (3_600.0, 4.0),
    ],
)
def test_a_steady_prefix_costs_what_its_best_lifetime_does(gap: float, per_token: float) -> None:
    uses = [Use(chain("same"), gap * i, PRICES) for i in range(4)]
    assert bound(uses) == pytest.approx(100 * per_token)
    assert optimum(uses, 0) == pytest.approx(100 * per_token)
    assert foreseen(uses) == pytest.approx(100 * per_token)


def test_blocks_below_the_minimum_are_stored_only_with_what_reaches_it() -> None:
    apart = [Use(chain("system", "rules", f"own {i}"), 10.0 * i, PRICES) for i in range(6)]
    assert bound(apart, minimum=300) == pytest.approx(6 * 300)
    assert bound(apart, minimum=200) == pytest.approx(200 * (1.25 + 5 * 0.1) + 6 * 100)


def test_what_is_read_may_be_kept_for_an_hour_by_what_is_written_behind_it() -> None:
    """Five minutes at first, and the hour is bought by a single block more."""
    long = [*chain("a", tokens=1_000), *chain("a", "b")[1:]]
    uses = [Use(long[:1], 0.0, PRICES), Use(long, 100.0, PRICES), Use(long, 2_000.0, PRICES)]
    cheapest = 1_000 * (1.25 + 0.1 + 0.1) + 100 * (2.0 + 0.1)
    assert optimum(uses, 0) == pytest.approx(cheapest)
    assert bound(uses) <= cheapest


def test_an_answer_that_has_not_begun_cannot_be_read() -> None:
    uses = [Use(chain("same"), float(i), PRICES) for i in range(3)]
    assert bound(uses, begins_s=1.5) == pytest.approx(100 * (1.25 + 1.0 + 0.1))
    assert bound(uses, begins_s=10.0) >= 100 * (1.25 + 1.0 + 0.1)
    assert bound(uses) == pytest.approx(100 * (1.25 + 0.2))
