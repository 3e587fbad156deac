"""What each Claude model accepts, read from `models.yaml` beside this file."""

import functools
import re
from importlib import resources
from typing import Literal

from pydantic import Field, model_validator
from ruamel.yaml import YAML

from serving.settings.base import Frozen

Effort = Literal["low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
ThinkingType = Literal["adaptive", "enabled", "disabled", "between_tools"]

_DATED = re.compile(r"-\d{8}$")


class ThinkingRules(Frozen):
    """What a model does with `thinking` and `output_config.effort`; `models.yaml` says what each
    key means. `off` is None where thinking cannot be turned off.
    """

    types: tuple[ThinkingType, ...]
    on: bool
    off: Literal["omit", "disabled", "between_tools"] | None = None
    off_max: Effort | None = None
    efforts: tuple[Effort, ...] = ()
    effort: Effort | None = None
    display: Literal["summarized", "omitted"]
    budgets: dict[Effort, int] = Field(default_factory=dict)
    bound: bool

    @model_validator(mode="after")
    def _consistent(self) -> "ThinkingRules":
        if self.off in {"disabled", "between_tools"} and self.off not in self.types:
            raise ValueError(f"off is {self.off}, which is not among types")
        if bool(self.efforts) != (self.effort is not None):
            raise ValueError("efforts and effort are given together")
        return self


class ModelAbility(Frozen):
    """What one model accepts. Token counts; `tokenizer` is relative to Claude 4.6."""

    line: str | None
    context: int
    max_output: int
    min_cacheable: int
    forced_tool_choice: bool
    prefill: bool
    mid_system: bool
    tokenizer: float
    thinking: ThinkingRules


class Catalog(Frozen):
    """The file as a whole."""

    thinking_room: dict[Effort, int]
    unknown: ModelAbility
    models: dict[str, ModelAbility]

    def find(self, model: str) -> ModelAbility | None:
        """The ability of `model`, a dated snapshot (`…-20251001`) included; None: not listed."""
        return self.models.get(model) or self.models.get(_DATED.sub("", model))

    def ability(self, model: str) -> ModelAbility:
        """The ability of `model`, or what is safe to assume of a model that is not listed."""
        return self.find(model) or self.unknown

    def notes(self, model: str) -> tuple[str, ...]:
        """What an operator should know before this model is used; empty where all is known."""
        if self.find(model) is not None:
            return ()
        known = ", ".join(sorted(self.models))
        return (
            f"{model}: not a known Claude model; the limits of the strictest newest model are"
            f" assumed (no forced tool choice, thinking always on). Known: {known}",
        )


@functools.cache
def catalog() -> Catalog:
    """The catalog that ships with this package, parsed once; it never changes while we run."""
    text = resources.files("serving.hosted").joinpath("models.yaml").read_text("utf-8")
    return Catalog.model_validate(YAML(typ="safe").load(text))
