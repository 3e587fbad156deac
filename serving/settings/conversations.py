"""How conversations keep to their tier."""

from pydantic import Field

from serving.settings.base import EnvName, Frozen, Seconds, Share

MARGIN = 0.1


class ConversationSettings(Frozen):
    """What is known of a turn is forgotten after `ttl_s`. Each gateway remembers `max_turns`, and
    first turns apart from them; about a conversation that it does not know it asks the ledger, for
    `lookup_s` at most. `margin`: the share by which another tier must be expected to cost less for
    a conversation to move there; 1 never moves one for its price. `key_env` names an environment
    variable with a secret, the same for all gateways, that keys the digests of prompts in the
    ledger.
    """

    enabled: bool = True
    ttl_s: Seconds = 3_600.0
    max_turns: int = Field(default=20_000, ge=1, le=10_000_000)
    lookup_s: Seconds = 0.05
    margin: Share = MARGIN
    key_env: EnvName | None = None
