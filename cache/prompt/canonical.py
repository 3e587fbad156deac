"""The form in which a request leaves: equal content is equal bytes, whatever a client's libraries
made of the order of its keys and tools. What carries meaning in its order is left alone: messages,
lists, the properties of an answer's schema, turns that Claude wrote.
"""

import json
from dataclasses import dataclass
from typing import Any

import orjson
from cachetools import LRUCache

from serving.hosted.translate.arguments import parse_arguments
from serving.hosted.translate.blocks import cache_control
from serving.wire.chat import ChatRequest, FunctionCall, FunctionDefinition, Message, Tool, ToolCall

KEPT_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class ToolForm:
    """One tool: where it stood in the client's request, its parameters as JSON text as they came
    and in their stable form.
    """

    index: int
    name: str
    description: str
    raw: bytes
    stable: bytes


@dataclass(frozen=True, slots=True)
class Canonical:
    """`request` shares with the client's what did not change. `tools` stand in the order in which
    they leave; empty where there are none that Claude takes.
    """

    request: ChatRequest
    tools: tuple[ToolForm, ...] = ()

    @property
    def tool_order(self) -> tuple[int, ...]:
        return tuple(form.index for form in self.tools)


@dataclass(frozen=True, slots=True)
class _Known:
    """A tool in its stable form, and its parameters in both."""

    tool: Tool
    raw: bytes
    stable: bytes


class Canonicaliser:
    """Keeps the stable forms of tools that it has met lately, since they come with every call."""

    def __init__(self) -> None:
        self._known: LRUCache[tuple[object, ...], _Known] = LRUCache(KEPT_BYTES, getsizeof=_size)

    def __call__(self, request: ChatRequest) -> Canonical:
        """`request` is not modified."""
        changed: dict[str, Any] = {}
        messages = [_message(m) if m.tool_calls else m for m in request.messages]
        if any(new is not old for new, old in zip(messages, request.messages, strict=True)):
            changed["messages"] = messages
        tools, forms = self._tools(request.tools or [])
        if forms:
            changed["tools"] = tools
        return Canonical(request.model_copy(update=changed) if changed else request, forms)

    def _tools(self, tools: list[Tool]) -> tuple[list[Tool], tuple[ToolForm, ...]]:
        """Tools by name: their order says nothing, but for where a client's breakpoint stands. A
        name that stands twice is an error that is left for the translation to name.
        """
        pairs: list[tuple[Tool, ToolForm]] = []
        for i, tool in enumerate(tools):
            function = tool.function
            if function is None:
                return tools, ()
            known, described = self._tool(tool, function), function.description or ""
            form = ToolForm(i, function.name, described, known.raw, known.stable)
            pairs.append((known.tool, form))
        names = [form.name for _, form in pairs]
        if names != sorted(names) and _is_free(pairs):
            pairs.sort(key=lambda pair: pair[1].name)
        return [tool for tool, _ in pairs], tuple(form for _, form in pairs)

    def _tool(self, tool: Tool, function: FunctionDefinition) -> _Known:
        raw = _dumps(function.parameters)
        key = (function.name, function.description, function.strict, raw)
        extra = bool(tool.model_extra or function.model_extra)
        known = None if extra else self._known.get(key)
        if known is None:
            known = _stable_tool(tool, function, raw)
            if not extra and _size(known) < KEPT_BYTES:
                self._known[key] = known
        return known


def _is_free(pairs: list[tuple[Tool, ToolForm]]) -> bool:
    """Whether the tools may stand in another order."""
    marked = any(cache_control(t) or cache_control(t.function) for t, _ in pairs)
    return not marked and len({form.name for _, form in pairs}) == len(pairs)


def _stable_tool(tool: Tool, function: FunctionDefinition, raw: bytes) -> _Known:
    schema = stable_schema(function.parameters)
    stable = _dumps(schema)
    if stable != raw:
        changed = function.model_copy(update={"parameters": schema})
        tool = tool.model_copy(update={"function": changed})
    return _Known(tool, raw, stable)


def _size(known: _Known) -> int:
    return len(known.raw) + len(known.stable) + 1_000


def stable_schema(value: Any) -> Any:
    """Keys sorted at every depth. Properties stand in the order in which `required` names them,
    then by name: a model writes arguments in the order of the schema, and authors use that.
    """
    if isinstance(value, list):
        return [stable_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for key in sorted(value):
        item = value[key]
        if key == "properties" and isinstance(item, dict):
            made[key] = {name: stable_schema(item[name]) for name in _property_order(value, item)}
        else:
            made[key] = stable_schema(item)
    return made


def _property_order(schema: dict[str, Any], properties: dict[str, Any]) -> list[str]:
    required = schema.get("required")
    listed = [n for n in required if isinstance(n, str)] if isinstance(required, list) else []
    first = [name for name in dict.fromkeys(listed) if name in properties]
    return first + sorted(properties.keys() - set(first))


def stable_text(arguments: str) -> str:
    """The arguments of a call with sorted keys, for comparison: numbers that no double holds come
    out rounded. Text that is no JSON is returned as it is.
    """
    try:
        return orjson.dumps(orjson.loads(arguments), option=orjson.OPT_SORT_KEYS).decode()
    except (ValueError, TypeError):
        return arguments


def _message(message: Message) -> Message:
    calls = [_call(call) for call in message.tool_calls or ()]
    if all(new is old for new, old in zip(calls, message.tool_calls or (), strict=True)):
        return message
    return message.model_copy(update={"tool_calls": calls})


def _call(call: ToolCall) -> ToolCall:
    """With sorted keys; the same where they are, or where the arguments are no JSON."""
    if call.function is None or _sorted(call.function.arguments):
        return call
    try:  # exact, also for integers of any length
        value = parse_arguments(call.function.arguments)
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return call
    function: FunctionCall = call.function.model_copy(update={"arguments": text})
    return call.model_copy(update={"function": function})


def _sorted(arguments: str) -> bool:
    try:
        value = orjson.loads(arguments or "{}")
        return orjson.dumps(value) == orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError):
        return False


def _dumps(value: Any) -> bytes:
    """JSON, by Python where orjson cannot (integers beyond 64 bits, lone surrogates)."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()
