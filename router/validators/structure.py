"""Checks on structured answers: JSON, JSON Schema and the arguments of tool calls.

JSON is judged strictly: the whole answer must be one JSON value, because a client that asked for
JSON parses the whole answer. A code fence around it fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from router.validators.answer import MAX_CHARS, Answer
from router.validators.schema import CompiledSchema, compile_schema
from serving.settings.validation import Json, JsonSchema
from serving.wire.chat import ChatRequest, NamedToolChoice, Tool
from serving.wire.completion import ToolCallPart

JSON_STARTS = frozenset('{["-0123456789tfn')


@dataclass(frozen=True, slots=True)
class JsonCheck:
    spec: Json
    kind: str = "json"
    whole: bool = True

    def check(self, answer: Answer) -> str | None:
        if answer.has_tool_call:
            return None
        _, problem = _parsed(answer.raw, self.spec.object)
        return problem

    def prefix(self, text: str, /) -> str | None:
        return _bad_start(text, self.spec.object)


@dataclass(frozen=True, slots=True)
class JsonSchemaCheck:
    schema: CompiledSchema
    object: bool
    kind: str = "json_schema"
    whole: bool = True

    @classmethod
    def of(cls, spec: JsonSchema) -> "JsonSchemaCheck":
        compiled = compile_schema(spec.json_schema, "json_schema")
        return cls(compiled, spec.json_schema.get("type") == "object")

    def check(self, answer: Answer) -> str | None:
        if answer.has_tool_call:
            return None
        value, problem = _parsed(answer.raw, self.object)
        return problem or self.schema.failure(value, answer.raw)

    def prefix(self, text: str, /) -> str | None:
        return _bad_start(text, self.object)


@dataclass(frozen=True, slots=True)
class ToolArgumentsCheck:
    """`schemas` holds what was compiled beforehand, by tool name."""

    schemas: Mapping[str, CompiledSchema] = field(default_factory=dict)
    whole: bool = True
    kind: str = "tool_arguments"

    @classmethod
    def of(cls, request: ChatRequest | None) -> "ToolArgumentsCheck":
        """With `tool_choice: none` nothing is to be held back: no call is expected."""
        if request is None:
            return cls()
        return cls(_compiled(request.tools or ()), whole=request.tool_choice != "none")

    def check(self, answer: Answer) -> str | None:
        request, calls = answer.request, answer.choice.tool_calls
        if (problem := _choice_problem(request, calls)) is not None or not calls:
            return problem
        schemas = self.schemas or _compiled(request.tools or ())
        open_names = any(tool.function is None for tool in request.tools or ())
        return next(
            (p for call in calls if (p := _call_problem(call, schemas, open_names)) is not None),
            None,
        )

    def prefix(self, _text: str, /) -> str | None:
        return None


def _compiled(tools: Sequence[Tool]) -> dict[str, CompiledSchema]:
    """By name; a function without parameters takes any object."""
    return {
        tool.function.name: compile_schema(
            {"type": "object"} if tool.function.parameters is None else tool.function.parameters,
            f"tools.{i}.function.parameters",
        )
        for i, tool in enumerate(tools)
        if tool.function is not None
    }


def _choice_problem(request: ChatRequest, calls: Sequence[ToolCallPart]) -> str | None:
    """How the calls, or their lack, break the request's tool_choice."""
    choice = request.tool_choice
    if calls and (choice == "none" or not request.tools):
        return "a tool is called though none may be"
    if not calls and (choice == "required" or isinstance(choice, NamedToolChoice)):
        return "no tool is called though one must be"
    if isinstance(choice, NamedToolChoice) and any(c.name != choice.function.name for c in calls):
        return f"a tool other than {choice.function.name!r} is called"
    if request.parallel_tool_calls is False and len(calls) > 1:
        return "several tools are called though parallel_tool_calls is false"
    return None


def _call_problem(
    call: ToolCallPart, schemas: Mapping[str, CompiledSchema], open_names: bool
) -> str | None:
    """`open_names`: tools of another type are offered too, whose names are not known here."""
    schema = schemas.get(call.name or "")
    if not call.id or not call.name:
        return "a tool call lacks its id or name"
    if schema is None:
        return None if open_names else "a tool is called that was not offered"
    raw = call.arguments.encode("utf-8", "replace")
    value, problem = _parsed(raw, True)
    problem = problem or schema.failure(value, raw)
    return None if problem is None else f"arguments of {call.name!r}: {problem}"


def _parsed(raw: bytes, demand_object: bool) -> tuple[Any, str | None]:
    """The one JSON value that `raw` is, or what is wrong with it."""
    if len(raw) > MAX_CHARS:
        return None, f"too long ({len(raw)} bytes) to be checked"
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if raw.lstrip().startswith(b"```"):
            return None, "json inside a code fence"
        return None, f"not one JSON value (line {error.lineno}, column {error.colno})"
    if demand_object and not isinstance(value, dict):
        return None, "not a JSON object"
    return value, None


def _bad_start(text: str, demand_object: bool) -> str | None:
    start = text.lstrip(" \t\r\n")[:1]
    if not start:
        return None
    if start == "`":
        return "json inside a code fence"
    if demand_object:
        return None if start == "{" else "does not begin as a JSON object"
    return None if start in JSON_STARTS else "does not begin as JSON"
