"""What a request needs of a tier, and what a tier lacks of it. A need, unlike a parameter, cannot
be dropped without changing what was asked.
"""

from dataclasses import dataclass
from typing import Literal

from router.rung import Rung
from serving.costs.estimate import estimate_request_tokens
from serving.wire.chat import ChatRequest, NamedToolChoice

EXPECTED_OUTPUT_TOKENS = 256
"""Assumed length of an answer to a request that sets no limit."""

Want = Literal["tools", "forced_tool_choice", "images", "multiple_choices", "json_schema"]
"""An attribute of `Ability`."""


@dataclass(frozen=True, slots=True)
class Needs:
    """`prompt_tokens` is an estimate; `output_tokens` the expected length of one answer."""

    prompt_tokens: int
    output_tokens: int
    choices: int
    wants: tuple[Want, ...]


@dataclass(frozen=True, slots=True)
class Lack:
    """`param` is the request field that asks for what the tier lacks."""

    what: str
    param: str


LACKS: dict[Want, Lack] = {
    "tools": Lack("tools", "tools"),
    "forced_tool_choice": Lack("a forced tool choice", "tool_choice"),
    "images": Lack("images", "messages"),
    "multiple_choices": Lack("several choices", "n"),
    "json_schema": Lack("JSON schemas", "response_format"),
}


def needs_of(request: ChatRequest, task_max_tokens: int | None = None) -> Needs:
    """`task_max_tokens` bounds the answer as the client's own limit does."""
    limits = (EXPECTED_OUTPUT_TOKENS, request.output_limit, task_max_tokens)
    choices = request.choices_asked
    return Needs(
        prompt_tokens=estimate_request_tokens(request),
        output_tokens=min([limit for limit in limits if limit is not None]),
        choices=choices,
        wants=_wants(request, choices),
    )


def _wants(request: ChatRequest, choices: int) -> tuple[Want, ...]:
    images, tools = False, bool(request.tools)
    for message in request.messages:
        if message.tool_calls or message.role in {"tool", "function"}:
            tools = True
        if isinstance(message.content, list):
            images = images or any(part.type == "image_url" for part in message.content)
    found: list[Want] = []
    if tools:
        found.append("tools")
    if request.tool_choice == "required" or isinstance(request.tool_choice, NamedToolChoice):
        found.append("forced_tool_choice")
    if images:
        found.append("images")
    if choices > 1:
        found.append("multiple_choices")
    if request.response_format is not None and request.response_format.type == "json_schema":
        found.append("json_schema")
    return tuple(found)


def lack(needs: Needs, rung: Rung) -> Lack | None:
    """The first need that the tier cannot meet, None where it meets all."""
    for want in needs.wants:
        if not getattr(rung.ability, want):
            return LACKS[want]
    tokens = needs.prompt_tokens + min(needs.output_tokens, rung.settings.output.max_tokens)
    if tokens > rung.context_tokens:
        return Lack(f"room for about {tokens} tokens (it has {rung.context_tokens})", "messages")
    return None
