"""What a request needs of a tier, and what a tier lacks of it. A need, unlike a parameter, cannot
be dropped without changing what was asked.
"""

from dataclasses import dataclass

from router.rung import Rung
from serving.costs.estimate import estimate_request_tokens
from serving.wire.chat import ChatRequest, NamedToolChoice

EXPECTED_OUTPUT_TOKENS = 256
"""Assumed length of an answer to a request that sets no limit."""


@dataclass(frozen=True, slots=True)
class Needs:
    """`prompt_tokens` is an estimate; `output_tokens` the expected length of one answer."""

    prompt_tokens: int
    output_tokens: int
    choices: int = 1
    tools: bool = False
    forced_tool_choice: bool = False
    images: bool = False
    json_schema: bool = False


@dataclass(frozen=True, slots=True)
class Lack:
    """`param` is the request field that asks for what the tier lacks."""

    what: str
    param: str


def needs_of(request: ChatRequest, task_max_tokens: int | None = None) -> Needs:
    """`task_max_tokens` bounds the answer as the client's own limit does."""
    limits = (EXPECTED_OUTPUT_TOKENS, request.output_limit, task_max_tokens)
    images = tools = False
    for message in request.messages:
        if message.role in {"tool", "function"} or message.tool_calls:
            tools = True
        if isinstance(message.content, list):
            images = images or any(part.type == "image_url" for part in message.content)
    choice, wanted = request.tool_choice, request.response_format
    return Needs(
        prompt_tokens=estimate_request_tokens(request),
        output_tokens=min(limit for limit in limits if limit is not None),
        choices=request.choices_asked,
        tools=tools or bool(request.tools),
        forced_tool_choice=choice == "required" or isinstance(choice, NamedToolChoice),
        images=images,
        json_schema=wanted is not None and wanted.type == "json_schema",
    )


def lack(needs: Needs, rung: Rung) -> Lack | None:
    """The first need that the tier cannot meet, None where it meets all."""
    ability = rung.ability
    for needed, able, what, param in (
        (needs.tools, ability.tools, "tools", "tools"),
        (
            needs.forced_tool_choice,
            ability.forced_tool_choice,
            "a forced tool choice",
            "tool_choice",
        ),
        (needs.images, ability.images, "images", "messages"),
        (needs.choices > 1, ability.multiple_choices, "several choices", "n"),
        (needs.json_schema, ability.json_schema, "JSON schemas", "response_format"),
    ):
        if needed and not able:
            return Lack(what, param)
    tokens = needs.prompt_tokens + min(needs.output_tokens, rung.settings.output.max_tokens)
    if tokens > rung.context_tokens:
        return Lack(f"room for about {tokens} tokens (it has {rung.context_tokens})", "messages")
    return None
