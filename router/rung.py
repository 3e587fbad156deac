"""One rung of the cascade: a tier's settings with what answers for it and what it costs."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from serving.backend import Ability, Attempt, Backend, Call
from serving.costs.estimate import upper_bound
from serving.costs.price import Price
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest


def no_thinking(_request: ChatRequest) -> int:
    return 0


def as_it_is(_attempt: Attempt, _call: Call) -> None:
    """Leaves the last word on an attempt as it is."""


@dataclass(frozen=True, slots=True)
class Rung:
    """`backend` meters itself: it opens one attempt per call and leaves a successful one for the
    caller to judge. `price` is None where it is unknown. `thinking_room`: tokens that the tier may
    spend on thoughts beyond its output limit. `revise` lets an attempt that was judged before its
    request was parked be judged again.
    """

    settings: TierSettings
    backend: Backend
    ability: Ability
    price: Price | None
    thinking_room: Callable[[ChatRequest], int] = no_thinking
    revise: Callable[[Attempt, Call], None] = as_it_is

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def context_tokens(self) -> int:
        """Tokens of prompt and answer together: the lower of the model's and the config's limit."""
        return min(self.ability.context_tokens, self.settings.context_tokens)

    def most_usd(self, request: ChatRequest) -> Decimal | None:
        """What one call for this request may cost at most, None where the price is unknown."""
        if self.price is None:
            return None
        limits = (self.settings.output.max_tokens, request.output_limit)
        most = upper_bound(
            request,
            output=None,
            max_output_tokens=min(v for v in limits if v is not None),
            thinking_tokens=self.thinking_room(request),
        )
        return self.price.upper_bound(most)
