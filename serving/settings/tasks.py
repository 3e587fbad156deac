"""A task class: what decides cacheability, validators, start tier and gate of its requests."""

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from serving.settings.base import Frozen, Name, Seconds, Share, Usd
from serving.settings.semantic import TaskSemantic
from serving.settings.tiers import GateSettings
from serving.settings.validation import MAX_VALIDATORS, ValidatorSpec


class TaskCache(Frozen):
    """Off unless the task opts in. `semantic` counts where `cache.semantic` is on."""

    enabled: bool = False
    ttl_s: Seconds = 3_600.0
    semantic: TaskSemantic = TaskSemantic()


class SpotCheckSettings(Frozen):
    """`share` of the accepted cheap answers is answered again by `reference` (default: the most
    expensive tier) in the background and compared. `compare: validator` passes a pair when both
    or neither pass the task's validators; `similarity` at `min_similarity` (rapidfuzz token-sort
    ratio, 0 to 1).
    """

    share: Share = 0.0
    reference: Name | None = None
    compare: Literal["exact", "similarity", "validator"] = "exact"
    min_similarity: Share = 0.85
    store_text: bool = False


class TaskMatch(Frozen):
    """Cheap features by which an untagged request is put into this class: any of `words` in its
    last user message, or a kind of request. The first task in the config that matches wins.
    """

    words: tuple[str, ...] = ()
    code: bool = False
    json_output: bool = False
    tools: bool = False
    min_prompt_tokens: int | None = Field(default=None, ge=1)

    @property
    def empty(self) -> bool:
        return self == TaskMatch()


class TaskSettings(Frozen):
    """`critical` pins the task to the most expensive allowed tier: no cache, full audit record.
    `start` and `max` are tier names. `gates` replaces a tier's gate thresholds for this task.
    """

    name: Name
    match: TaskMatch = TaskMatch()
    critical: bool = False
    start: Name | None = None
    max: Name | None = None
    validators: tuple[ValidatorSpec, ...] = Field(default=(), max_length=MAX_VALIDATORS)
    gate: Literal["on", "off"] = "on"
    gates: dict[Name, GateSettings] = Field(default_factory=dict)
    cache: TaskCache = TaskCache()
    spot_check: SpotCheckSettings = SpotCheckSettings()
    max_tokens: int | None = Field(default=None, ge=1)
    flex: Literal["wait", "climb"] = "wait"

    @model_validator(mode="after")
    def _critical(self) -> "TaskSettings":
        if self.critical and self.cache.enabled:
            raise ValueError("a critical task is never cached: set cache.enabled to false")
        return self


class SpotCheckBudget(Frozen):
    """Caps on all spot checks together."""

    max_usd_per_day: Usd = Decimal(1)
    max_concurrent: int = Field(default=2, ge=1, le=64)
    max_queued: int = Field(default=256, ge=1)
