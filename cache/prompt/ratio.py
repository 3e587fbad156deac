"""How many tokens a model counts for one that was estimated, learned from its usage."""

DECAY = 0.95
"""What an observation weighs against the next one, so that some twenty count."""

PRIOR_TOKENS = 500.0
LOWEST, HIGHEST = 0.3, 3.0


class TokenRatio:
    """`prior`: what the model's tokenizer makes of a token of ours before anything is measured."""

    def __init__(self, prior: float) -> None:
        self._estimated, self._counted = PRIOR_TOKENS, PRIOR_TOKENS * prior

    @property
    def value(self) -> float:
        return min(HIGHEST, max(LOWEST, self._counted / self._estimated))

    def learn(self, *, estimated: int, counted: int) -> None:
        """A whole prompt: long ones say more."""
        if estimated <= 0 or counted <= 0:
            return
        self._estimated = DECAY * self._estimated + estimated
        self._counted = DECAY * self._counted + counted
