"""One rung of the cascade: a tier's settings with what answers for it and what it costs."""

from dataclasses import dataclass

from serving.backend import Ability, Backend
from serving.costs.price import Price
from serving.settings.tiers import TierSettings


@dataclass(frozen=True, slots=True)
class Rung:
    """`backend` meters itself: it opens one attempt per call and leaves a successful one for the
    caller to judge. `price` is None where it is unknown.
    """

    settings: TierSettings
    backend: Backend
    ability: Ability
    price: Price | None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def context_tokens(self) -> int:
        """Tokens of prompt and answer together: the lower of the model's and the config's limit."""
        return min(self.ability.context_tokens, self.settings.context_tokens)
