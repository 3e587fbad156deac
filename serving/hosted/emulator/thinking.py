"""Thinking: which configurations a model refuses, whether it thinks, and what it says of it."""

from dataclasses import dataclass

from serving.hosted.emulator.errors import invalid
from serving.hosted.emulator.signatures import Signer, prefix_digest
from serving.hosted.emulator.wire import (
    Prompt,
    RedactedThinkingBlock,
    ThinkingAdaptive,
    ThinkingBetweenTools,
    ThinkingBlock,
    ThinkingDisabled,
    ThinkingEnabled,
)
from serving.hosted.models import EFFORTS, Effort, ModelAbility

# Tokens that an emulated model thinks, by effort.
TOKENS: dict[Effort, int] = {"low": 24, "medium": 60, "high": 120, "xhigh": 240, "max": 480}
DEFAULT: Effort = "medium"
TEXT = "Weighing what was asked against what is known, then answering."


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a response begins with: `tokens` are billed, `text` is empty where it is omitted."""

    tokens: int
    text: str
    omitted: bool


def check_thinking(prompt: Prompt, ability: ModelAbility, max_tokens: int | None) -> None:
    """Raises the 400 of a thinking, effort or tool-choice setting that the model refuses."""
    rules, config = ability.thinking, prompt.thinking
    if config is not None and config.type not in rules.types:
        raise invalid(_refusal(config.type, ability))
    if prompt.effort is not None and prompt.effort not in rules.efforts:
        raise invalid(
            f'"output_config.effort" value "{prompt.effort}" is not supported for this model'
        )
    if isinstance(config, ThinkingEnabled):
        if max_tokens is not None and config.budget_tokens >= max_tokens:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if prompt.forced_tool:
            raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    if isinstance(config, ThinkingDisabled | ThinkingBetweenTools) and rules.off_max:
        effort = prompt.effort or rules.effort or rules.off_max
        if EFFORTS.index(effort) > EFFORTS.index(rules.off_max):
            raise invalid(
                f'"thinking.type" value "{config.type}" is not supported with'
                f' "output_config.effort" value "{effort}" for this model'
            )
    if prompt.forced_tool and not ability.forced_tool_choice:
        raise invalid('tool_choice: type "tool" and "any" are not supported for this model.')


def _refusal(kind: str, ability: ModelAbility) -> str:
    if kind == "adaptive":
        return "adaptive thinking is not supported on this model"
    lowest = ""
    if "between_tools" in ability.thinking.types:
        lowest = ' Use "thinking.type.between_tools" for the lowest thinking setting, or'
    advice = ' "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
    start = lowest or " Use"
    return f'"thinking.type.{kind}" is not supported for this model.{start}{advice}'


def thinking_of(prompt: Prompt, ability: ModelAbility) -> Thinking | None:
    """What the model thinks before it answers; None where it does not."""
    rules, config = ability.thinking, prompt.thinking
    if config is None and not rules.on:
        return None
    if isinstance(config, ThinkingDisabled | ThinkingBetweenTools):
        return None
    asked = config.display if isinstance(config, ThinkingAdaptive | ThinkingEnabled) else None
    omitted = (asked or rules.display) == "omitted"
    effort = prompt.effort or rules.effort or DEFAULT
    return Thinking(TOKENS[effort], "" if omitted else TEXT, omitted)


def check_replayed(
    prompt: Prompt, ability: ModelAbility, signer: Signer, workspace: str
) -> frozenset[tuple[int, int]]:
    """Checks the thinking blocks that come back. Returns the (message, block) places of those that
    the model cannot read and so does not see: another model's or another account's. Raises the
    400 for a block that was tampered with, or whose conversation has changed.
    """
    dropped: set[tuple[int, int]] = set()
    for i, message in enumerate(prompt.messages):
        prefix = ""
        for j, block in enumerate(message.content):
            if not isinstance(block, ThinkingBlock | RedactedThinkingBlock):
                continue
            signature = block.signature if isinstance(block, ThinkingBlock) else block.data
            text = block.thinking if isinstance(block, ThinkingBlock) else ""
            origin = signer.read(signature, text)
            where = f"messages.{i}.content.{j}"
            if origin is None:
                field = "signature" if isinstance(block, ThinkingBlock) else "data"
                raise invalid(f"{where}: Invalid `{field}` in `{block.type}` block")
            if origin.model != prompt.model or origin.workspace != workspace:
                dropped.add((i, j))
                continue
            prefix = prefix or prefix_digest(prompt, i)
            if ability.thinking.bound and origin.prefix != prefix:
                raise invalid(
                    f"{where}: Invalid `signature` in `thinking` block."
                    " The block is bound to a different conversation. Remove the block."
                )
    return frozenset(dropped)
