"""How the emulator of Anthropic's API misbehaves, and how fast it works off batches."""

from typing import Literal

from pydantic import Field, model_validator

from serving.settings.base import Frozen, Share

EmulatorFault = Literal[
    # instead of an answer
    "402",
    "403",
    "404",
    "429",
    "429_bare",
    "500",
    "504",
    "529",
    "529_retry_after",
    "spend_limit",
    "hang",
    # on the way of an answer
    "slow",
    "malformed",
    "overloaded_midstream",
    "truncated",
    "dropped",
    # how an answer ends
    "refusal",
    "pause_turn",
    "max_tokens",
    "model_context_window_exceeded",
    "stop_sequence",
    "tool_use",
]


class EmulatorBatches(Frozen):
    """A batch begins `delay_s` after it was created and answers `requests_per_s` from then on, in
    seconds of the emulator's clock; a batch that is cancelled ends `cancel_s` later. `cache_share`
    of the requests reach the prompt cache, the others read nothing and write anew. `errored` and
    `expired` are shares of requests that end so.
    """

    delay_s: float = Field(default=5.0, ge=0, le=86_400)
    requests_per_s: float = Field(default=20.0, gt=0, le=100_000)
    cancel_s: float = Field(default=2.0, ge=0, le=86_400)
    cache_share: Share = 0.8
    errored: Share = 0.0
    expired: Share = 0.0

    @model_validator(mode="after")
    def _sum(self) -> "EmulatorBatches":
        if self.errored + self.expired > 1:
            raise ValueError("errored and expired must not exceed 1 together")
        return self
