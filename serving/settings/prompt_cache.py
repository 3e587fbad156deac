"""How the provider's prompt cache is used at a hosted tier."""

from typing import Literal

from pydantic import Field

from serving.settings.base import Frozen


class PromptCacheSettings(Frozen):
    """`mode: auto` places breakpoints where they pay and leaves a client's own as they are; `off`
    sends requests as they come. Of calls that arrive together with one prefix that is not stored
    yet, one goes ahead and the others wait up to `fan_out_wait_s` for its answer to begin (0: none
    waits). `move_volatile` moves lines of the system prompt that change from request to request
    (timestamps, counters, ids) behind the rest of it.

    An alert is raised when the hit rate of a feature over the last `alert_window` calls lies below
    its own past, both as intervals of `alert_confidence`.
    """

    mode: Literal["auto", "off"] = "auto"
    fan_out_wait_s: float = Field(default=10.0, ge=0.0, le=120.0)
    move_volatile: bool = False
    alert_window: int = Field(default=25, ge=10, le=1_000)
    alert_confidence: float = Field(default=0.999, ge=0.9, le=0.999_999)
