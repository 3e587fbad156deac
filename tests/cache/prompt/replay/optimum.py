"""The cheapest plans for small traces, found by trying all."""

import itertools
from collections.abc import Iterator, Sequence

from cache.prompt.chain import MAX_BREAKPOINTS, Block, Breakpoint, Ttl
from cache.prompt.economics import RelativePrices
from cache.prompt.oracle import Use
from cache.prompt.rules import Billed, Shelf, ends_of


def optimum(uses: Sequence[Use], minimum: int, begins_s: float = 0.0) -> float:
    """In tokens at the input price. Every plan that the provider accepts is tried."""
    best = float("inf")
    for plans in itertools.product(*(list(_plans(use.chain)) for use in uses)):
        shelf = Shelf(minimum, begins_s=begins_s)
        cost = 0.0
        for use, plan in zip(uses, plans, strict=True):
            cost += charged(shelf.send(use.chain, ends_of(use.chain), plan, use.at), use)
            if cost >= best:
                break
        best = min(best, cost)
    return best


def charged(billed: Billed, use: Use) -> float:
    prices: RelativePrices = use.prices
    return use.scale * (
        billed.plain
        + billed.read * prices.read
        + billed.write_5m * prices.write_5m
        + billed.write_1h * prices.write_1h
    )


def _plans(chain: Sequence[Block]) -> Iterator[tuple[Breakpoint, ...]]:
    """An hour's breakpoints stand before those of five minutes."""
    can = [i for i, block in enumerate(chain) if block.may_break]
    for count in range(min(MAX_BREAKPOINTS, len(can)) + 1):
        for places in itertools.combinations(can, count):
            for hours in range(count + 1):
                yield tuple(Breakpoint(i, _ttl(n < hours)) for n, i in enumerate(places))


def _ttl(hour: bool) -> Ttl:
    return "1h" if hour else "5m"
