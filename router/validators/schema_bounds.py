"""Bounds on JSON Schemas that strangers send, measured before anything compiles them.

What makes a schema dangerous is not its size but how often its parts are applied to one value.
Two facts about the validator (held to by a test) give a bound: it applies each part along every
path that leads there through `$ref`, and it remembers the result of a reference that closes a
cycle. So the parts applied to one value are at most the simple paths through the schema, and they
can be counted, up to a limit, by walking it. `unevaluated*` asks the parts beside it again, up to
three times more each.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson

from router.validators.pattern import pattern_size
from serving.errors import InvalidRequest

MAX_BYTES = 262_144
MAX_VALUES = 50_000
MAX_DEPTH = 64
MAX_PATTERNS = 100
MAX_PATTERN_CHARS = 1_000
MAX_PATH = 200
MAX_VISITS = 10_000
REPEATS_OF_UNEVALUATED = 4
UNREAD_PATTERN_SIZE = 20_000
"""For a pattern that RE2 cannot read but the validator's own linear engine may."""

IN_PLACE = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
)
LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
SINGLE = frozenset(
    {
        *("not", "if", "then", "else", "additionalProperties", "propertyNames", "contains"),
        *("additionalItems", "unevaluatedProperties", "unevaluatedItems"),
    }
)
REFUSED = frozenset({"$dynamicRef", "$recursiveRef"})
_ECMA_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class SchemaCost:
    """`visits`: most times a part of the schema is applied, per value of an instance.
    `pattern_steps`: most steps of its patterns, per byte of an instance. `recursive`: it refers
    back to itself.
    """

    visits: int
    pattern_steps: int
    recursive: bool


def plain(schema: Any, where: str) -> dict[str, Any]:
    """A plain copy of `schema`, within the limits on its size; `InvalidRequest` otherwise."""
    values, level = 0, [schema]
    for _ in range(MAX_DEPTH + 1):
        values += len(level)
        if values > MAX_VALUES:
            raise _refusal(where, f"more than {MAX_VALUES} values")
        level = [child for value in level for child in _children(value)]
        if not level:
            break
    else:
        raise _refusal(where, f"nested deeper than {MAX_DEPTH}")
    try:
        raw = orjson.dumps(schema)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise _refusal(where, f"not JSON: {error}") from error
    if len(raw) > MAX_BYTES:
        raise _refusal(where, f"more than {MAX_BYTES} bytes")
    copy = orjson.loads(raw)
    if not isinstance(copy, dict):
        raise _refusal(where, "a schema must be an object")
    return copy


def measure(schema: dict[str, Any], where: str) -> SchemaCost:
    """The cost of a schema that `plain` let pass; `InvalidRequest` where it has no bound, reaches
    outside itself or uses what cannot be bounded.
    """
    walk = _Walk(schema, where)
    walk.expand("#", schema, 1)
    # A result is remembered per value, so each target of a cycle may start anew on each of them.
    started: set[str] = set()
    while pending := walk.cyclic - started:
        pointer = min(pending)
        started.add(pointer)
        walk.expand(pointer, walk.resolve(pointer, pointer), 1)
    return SchemaCost(walk.visits, walk.pattern_steps, bool(walk.cyclic))


@dataclass(slots=True)
class _Walk:
    root: dict[str, Any]
    where: str
    visits: int = 0
    pattern_steps: int = 0
    cyclic: set[str] = field(default_factory=set)
    _path: dict[str, int] = field(default_factory=dict)
    _consumed: int = 0
    _patterns: dict[str, int] = field(default_factory=dict)

    def expand(self, pointer: str, schema: Any, times: int) -> None:
        """Count `schema` and all below it, each as often as a path leads there."""
        self.visits += times * _weight(schema)
        if self.visits > MAX_VISITS:
            raise _refusal(self.where, f"its parts apply more than {MAX_VISITS} times", pointer)
        if not isinstance(schema, dict):
            return
        if len(self._path) >= MAX_PATH:
            raise _refusal(self.where, f"references nest deeper than {MAX_PATH}", pointer)
        self._admit(pointer, schema, times)
        self._path[pointer] = self._consumed
        below = times * (REPEATS_OF_UNEVALUATED if _unevaluated(schema) else 1)
        if isinstance(ref := schema.get("$ref"), str):
            self._follow(pointer, ref, below)
        for keyword, step, child in _subschemas(schema):
            consumes = keyword not in IN_PLACE
            self._consumed += consumes
            self.expand(f"{pointer}/{step}", child, below)
            self._consumed -= consumes
        del self._path[pointer]

    def _follow(self, pointer: str, ref: str, times: int) -> None:
        target = _normalised(ref)
        schema = self.resolve(ref, pointer)
        if target not in self._path:
            self.expand(target, schema, times)
            return
        if self._path[target] == self._consumed:
            raise _refusal(self.where, f"{ref!r} leads back to itself", pointer)
        self.cyclic.add(target)
        self.visits += times

    def resolve(self, ref: str, pointer: str) -> Any:
        if ref != "#" and not ref.startswith("#/"):
            raise _refusal(self.where, f"$ref {ref[:80]!r} must be '#' or begin with '#/'", pointer)
        value: Any = self.root
        for step in _steps(ref):
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                raise _refusal(self.where, f"$ref {ref[:80]!r} points nowhere", pointer)
        if not isinstance(value, dict | bool):
            raise _refusal(self.where, f"$ref {ref[:80]!r} points to no schema", pointer)
        return value

    def _admit(self, pointer: str, schema: dict[str, Any], times: int) -> None:
        for keyword in REFUSED & schema.keys():
            raise _refusal(self.where, f"{keyword} is not supported", pointer)
        if pointer != "#" and isinstance(schema.get("$id"), str):
            raise _refusal(self.where, "$id is supported at the root only", pointer)
        patterns = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
        if isinstance(named := schema.get("patternProperties"), dict):
            patterns += named
        for pattern in patterns:
            self.pattern_steps += times * self._size(pattern, pointer)

    def _size(self, pattern: str, pointer: str) -> int:
        known = self._patterns.get(pattern)
        if known is not None:
            return known
        if len(self._patterns) >= MAX_PATTERNS:
            raise _refusal(self.where, f"more than {MAX_PATTERNS} patterns", pointer)
        if len(pattern) > MAX_PATTERN_CHARS:
            raise _refusal(self.where, f"a pattern over {MAX_PATTERN_CHARS} characters", pointer)
        readable = _ECMA_ESCAPE.sub(r"\\x{\1}", pattern)
        size = self._patterns[pattern] = pattern_size(readable) or UNREAD_PATTERN_SIZE
        return size


def _subschemas(schema: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(keyword, pointer step, subschema) of every part that validation descends into. Keywords of
    all drafts count, whatever draft the schema says it is.
    """
    for keyword, value in schema.items():
        name = _escaped(keyword)
        if keyword in LISTS and isinstance(value, list):
            yield from ((keyword, f"{name}/{i}", child) for i, child in enumerate(value))
        elif keyword == "items":
            many = value if isinstance(value, list) else None
            yield from ((keyword, f"{name}/{i}", child) for i, child in enumerate(many or ()))
            if many is None:
                yield keyword, name, value
        elif keyword in MAPS and isinstance(value, dict):
            for key, child in value.items():
                if isinstance(child, dict | bool):
                    yield keyword, f"{name}/{_escaped(key)}", child
        elif keyword in SINGLE:
            yield keyword, name, value


def _weight(schema: Any) -> int:
    """1 for the part, and 1 for each value its own keywords compare with."""
    if not isinstance(schema, dict):
        return 1
    weight = 1
    for keyword in ("enum", "const", "required", "dependentRequired"):
        value = schema.get(keyword)
        # Plain strings are looked up by hash; anything else is compared one by one.
        if isinstance(value, list | dict) and not _all_strings(value):
            weight += _count(value)
    return weight


def _all_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _count(value: Any) -> int:
    return 1 + sum(_count(child) for child in _children(value))


def _unevaluated(schema: dict[str, Any]) -> bool:
    return "unevaluatedProperties" in schema or "unevaluatedItems" in schema


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _steps(ref: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in unquote(ref[1:]).split("/")[1:]]


def _normalised(ref: str) -> str:
    return "#" + "".join(f"/{_escaped(step)}" for step in _steps(ref))


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _refusal(where: str, reason: str, pointer: str = "#") -> InvalidRequest:
    return InvalidRequest(f"{where}: JSON Schema refused at {pointer[:200]}: {reason}", param=where)
