"""OpenAI's tools and tool choice as Anthropic's."""

from typing import Any

from serving.errors import InvalidRequest, TierRejected
from serving.hosted.models import ModelAbility
from serving.hosted.translate.blocks import Block, cache_control
from serving.hosted.translate.schema import acceptable
from serving.wire.chat import ChatRequest, FunctionDefinition, NamedToolChoice, Tool

TOP_LEVEL_CHOICES = ("anyOf", "oneOf", "allOf")


def tools(request: ChatRequest, called: tuple[str, ...]) -> tuple[list[Block], tuple[str, ...]]:
    """The tool definitions and what was dropped. A request whose history calls tools that it does
    not define gets bare definitions of them, since Claude refuses such a history without any; see
    `tool_choice`, which keeps the model from calling them.
    """
    dropped: list[str] = []
    made = [_tool(t, f"tools.{i}", dropped) for i, t in enumerate(request.tools or ())]
    names = [t["name"] for t in made]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"the tool {name!r} is defined twice", param="tools")
    if not made:
        made = [_bare(name) for name in called]
    return made, tuple(dict.fromkeys(dropped))


def tool_choice(request: ChatRequest, ability: ModelAbility, *, defined: bool) -> Block | None:
    """Anthropic's `tool_choice`. `defined`: the request goes out with tools, be it its own or
    bare ones. None leaves the default, `auto`.
    """
    wanted = request.tool_choice
    if not request.tools:
        if wanted == "required":
            raise InvalidRequest("tool_choice 'required' needs tools", param="tool_choice")
        return {"type": "none"} if defined else None
    if wanted == "none":
        return {"type": "none"}
    choice: Block = {"type": "auto"}
    if wanted == "required":
        choice = {"type": "any"}
    elif isinstance(wanted, NamedToolChoice):
        choice = {"type": "tool", "name": wanted.function.name}
    if choice["type"] != "auto" and not ability.forced_tool_choice:
        raise TierRejected(
            "this model cannot be forced to call a tool: tool_choice 'auto' or 'none' only",
            param="tool_choice",
            code="forced_tool_choice",
        )
    if request.parallel_tool_calls is not None:
        choice["disable_parallel_tool_use"] = not request.parallel_tool_calls
    return None if choice == {"type": "auto"} else choice


def _tool(tool: Tool, where: str, dropped: list[str]) -> Block:
    function = tool.function
    if tool.type != "function" or function is None:
        raise TierRejected(f"Claude takes no tool of type {tool.type!r}", param=where)
    schema = _input_schema(function, where)
    made: Block = {"name": function.name, "input_schema": schema}
    if function.description is not None:
        made["description"] = function.description
    if function.strict:
        try:
            made["input_schema"] = acceptable(schema, param=where).schema
            made["strict"] = True
        except TierRejected:  # the arguments are still checked against the schema above
            dropped.append(f"{where}.function.strict")
    control = cache_control(tool) or cache_control(function)
    if control is not None:
        made["cache_control"] = control
    return made


def _input_schema(function: FunctionDefinition, where: str) -> dict[str, Any]:
    schema = dict(function.parameters or {})
    schema.setdefault("type", "object")
    if schema["type"] != "object":
        raise TierRejected(
            f"the parameters of {function.name!r} must be an object", param=f"{where}.function"
        )
    for keyword in TOP_LEVEL_CHOICES:
        if keyword in schema:
            raise TierRejected(
                f"Claude takes no {keyword} at the top of the parameters of {function.name!r}",
                param=f"{where}.function.parameters",
                code="unsupported_schema",
            )
    schema.setdefault("properties", {})
    return schema


def _bare(name: str) -> Block:
    return {"name": name, "input_schema": {"type": "object", "properties": {}}}
