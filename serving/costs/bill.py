"""What an attempt's tokens cost, and what else they would have cost: noted while its prices are
known, since prices change and the ledger's parts of a saving must not change with them.
"""

from decimal import Decimal

from serving.backend import Attempt
from serving.costs.price import Price
from serving.wire.completion import Usage

FREE = Decimal(0)


def bill(
    attempt: Attempt,
    price: Price | None,
    usage: Usage,
    *,
    at_most: bool = False,
    above: Price | None = None,
) -> None:
    """Sets the usage and the three costs of an attempt at `price`, as its `service` says. With
    `at_most` the usage is an upper bound of which nobody knows how the provider's cache took part
    in it, so that all input counts at the dearest rate. Where the price is unknown, or the batch
    price of a batched attempt, so are all three. `above` is the price of the tier that the attempt
    would have been made at, had it not waited.
    """
    attempt.usage = usage
    attempt.cost_usd = attempt.list_cost_usd = attempt.live_cost_usd = None
    attempt.above_cost_usd = None
    batch = attempt.service == "batch"
    if price is None or (batch and price.batch_factor is None):
        return
    if at_most:
        attempt.list_cost_usd = attempt.live_cost_usd = price.upper_bound(usage)
        attempt.cost_usd = price.upper_bound(usage, batch=batch)
        return
    plain = Usage(usage.prompt_tokens, usage.completion_tokens)
    attempt.list_cost_usd = price.cost(plain)
    attempt.above_cost_usd = None if above is None else above.cost(plain)
    attempt.live_cost_usd = price.cost(usage)
    attempt.cost_usd = price.cost(usage, batch=batch)


def bill_nothing(attempt: Attempt) -> None:
    """The tier was not reached, or refused: no tokens and no cost."""
    attempt.usage = Usage()
    attempt.cost_usd = attempt.list_cost_usd = attempt.live_cost_usd = FREE
    attempt.above_cost_usd = None
