"""How responses are kept."""

from pydantic import Field

from serving.settings.base import Frozen

DAY_S = 86_400


class ResponseSettings(Frozen):
    """Responses are kept for `ttl_s`, unless the client says `store: false`. One that is larger
    than `max_bytes` (its own input and output) is answered and not kept; of a tenant that has more
    than `max_tenant_bytes` the oldest go first. `max_background` responses of a tenant may wait or
    run in the background at once.
    """

    enabled: bool = True
    ttl_s: int = Field(default=30 * DAY_S, ge=60)
    max_bytes: int = Field(default=8_000_000, ge=1_024)
    max_tenant_bytes: int = Field(default=10_000_000_000, ge=1_024)
    max_background: int = Field(default=1_000, ge=1)
