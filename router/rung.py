"""One rung of the cascade: a tier's settings with what answers for it and what it costs."""

from collections.abc import Callable
from dataclasses import dataclass

from serving.backend import Ability, Backend
from serving.costs.price import Price
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest


def no_thinking(_request: ChatRequest) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Rung:
    """`backend` meters itself: it opens one attempt per call and leaves a successful one for the
    caller to judge. `price` is None where it is unknown. `thinking_room`: tokens that the tier may
    spend on thoughts beyond its output limit.
    """

    settings: TierSettings
    backend: Backend
    ability: Ability
    price: Price | None
    thinking_room: Callable[[ChatRequest], int] = no_thinking

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def context_tokens(self) -> int:
        """Tokens of prompt and answer together: the lower of the model's and the config's limit."""
        return min(self.ability.context_tokens, self.settings.context_tokens)
