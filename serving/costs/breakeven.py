"""When owning GPUs costs less than paying a hosted model per token.

A request keeps a busy GPU tier for `prompt / prefill_tokens_per_s + completion /
decode_tokens_per_s` seconds, which is its marginal cost. Owners pay for idle hours, too: at a
utilisation u, the share of time that the tier works at full batch, a request really costs its
marginal cost divided by u. The hosted model is cheaper below the utilisation at which both are
equal, `marginal / hosted`; where that exceeds 1 it is cheaper always.

Left out are prompt caching there and prefix caching here, thoughts, batches, people's time, and
how good the answers are.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

from serving.costs.price import Price
from serving.costs.rate_card import capacity_cost
from serving.settings.tiers import GpuPrice
from serving.wire.completion import Usage

HOURS_PER_DAY = Decimal(24)


@dataclass(frozen=True, slots=True)
class Mix:
    """The typical request, in tokens of the local model."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def usage(self, tokenizer: float = 1.0) -> Usage:
        """In tokens of a model that counts `tokenizer` times as many."""
        return Usage(
            prompt_tokens=math.ceil(self.prompt_tokens * tokenizer),
            completion_tokens=math.ceil(self.completion_tokens * tokenizer),
        )


@dataclass(frozen=True, slots=True)
class BreakEven:
    """USD per request of the mix: `busy_usd` on a tier that is always full, `owned_usd` at
    `utilisation`, `hosted_usd` at the hosted price. `at` is the utilisation where both cost the
    same, beyond 1 where the hosted model is always cheaper; `requests_per_day` are as many.
    """

    busy_usd: Decimal
    owned_usd: Decimal
    hosted_usd: Decimal
    utilisation: Decimal
    at: Decimal
    requests_per_day: Decimal

    @property
    def undercut(self) -> bool:
        """The hosted model costs less at this utilisation."""
        return self.hosted_usd < self.owned_usd

    @property
    def never_pays(self) -> bool:
        """It would cost less even if the GPUs never idled."""
        return self.at > 1


def break_even(
    gpus: GpuPrice,
    marginal: Price,
    hosted: Price,
    mix: Mix,
    *,
    utilisation: Decimal,
    tokenizer: float = 1.0,
) -> BreakEven | None:
    """Compares a tier on `gpus`, whose marginal price is `marginal`, with a hosted model that
    counts `tokenizer` times its tokens. None where the hosted model costs nothing.
    """
    busy = marginal.cost(mix.usage())
    there = hosted.cost(mix.usage(tokenizer))
    if not there:
        return None
    return BreakEven(
        busy_usd=busy,
        owned_usd=busy / utilisation,
        hosted_usd=there,
        utilisation=utilisation,
        at=busy / there,
        requests_per_day=capacity_cost(gpus, HOURS_PER_DAY) / there,
    )
