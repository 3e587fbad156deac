"""Values that satisfy a JSON Schema.

Generates for: type, enum, const, properties, required, minProperties, additionalProperties,
dependentRequired, items, prefixItems, contains, minItems, maxItems, uniqueItems, anyOf, oneOf,
allOf, if/then, local $ref, and the scalar keywords of `scalars`. What is drawn is then validated
and drawn again a few times where it fails (a `not`, overlapping `oneOf`), so a value that comes
back without `valid` means a schema beyond this module. Depth and size are bounded: optional parts
are left out below `SOFT_DEPTH` or beyond `SOFT_NODES`, everything below `HARD_DEPTH` or beyond
`HARD_NODES` is null.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

from serving.engines.mock import scalars
from serving.engines.mock.draws import Draws, derive
from serving.engines.mock.schema_merge import merge
from serving.wire.render import dumps

SOFT_DEPTH = 5
HARD_DEPTH = 24
SOFT_NODES = 200
HARD_NODES = 500
MAX_ITEMS = 100
OPTIONAL_SHARE = 0.75
MAX_VALIDATED_BYTES = 65_536
TRIES = 5

_SHAPE_OF = {
    "object": ("properties", "required", "additionalProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "contains", "uniqueItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_RANK = ("null", "boolean", "integer", "number", "string", "array", "object")


@dataclass(frozen=True, slots=True)
class Sample:
    """`valid` is None where the schema could not be compiled or is too large to validate."""

    value: Any
    valid: bool | None


def sample(schema: dict[str, Any], key: bytes, words: tuple[str, ...]) -> Sample:
    """A value of `schema`, the same for the same key; strings are made from `words`."""
    check = checker(schema)
    if check is None:
        return Sample(_unchecked(schema, key, words), None)
    value: Any = None
    for attempt in range(TRIES):
        value = _Sampler(schema, words).value(schema, derive(key, "value", attempt), 0)
        if check.is_valid(value):
            return Sample(value, True)
    return Sample(value, False)


def _unchecked(schema: dict[str, Any], key: bytes, words: tuple[str, ...]) -> Any:
    """What can be drawn from something that may be no schema at all."""
    try:
        return _Sampler(schema, words).value(schema, derive(key, "value"), 0)
    except (TypeError, ValueError, AttributeError):
        return {}


def checker(schema: dict[str, Any]) -> jsonschema_rs.Validator | None:
    """The compiled schema; None where it is no schema, too large, or refers to other documents."""
    text = dumps(schema)
    return _compile(text) if len(text) <= MAX_VALIDATED_BYTES else None


@lru_cache(maxsize=256)
def _compile(text: bytes) -> jsonschema_rs.Validator | None:
    try:
        return jsonschema_rs.validator_for(
            text.decode(),
            offline=True,
            validate_formats=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        return None


class _Sampler:
    """Each part of a value is drawn from a key of its own place, so two schemas that differ in one
    place have values that differ in that place.
    """

    def __init__(self, schema: dict[str, Any], words: tuple[str, ...]) -> None:
        self.schema = schema
        self.words = words or ("item",)
        self.nodes = 0

    def value(self, schema: Any, key: bytes, depth: int) -> Any:
        self.nodes += 1
        if depth > HARD_DEPTH or self.nodes > HARD_NODES:
            return None
        draws = Draws(key)
        if not isinstance(schema, dict):
            return draws.pick(self.words)
        schema = self.flat(schema, draws, depth)
        options = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(options, list) and options:
            return draws.pick(options)
        kind = self.type_of(schema, draws, depth)
        if kind == "object":
            return self.object(schema, key, depth)
        if kind == "array":
            return self.array(schema, key, draws, depth)
        return self.scalar(kind, schema, draws)

    def scalar(self, kind: str, schema: dict[str, Any], draws: Draws) -> Any:
        if kind == "integer":
            return scalars.integer(schema, draws)
        if kind == "number":
            return scalars.number(schema, draws)
        if kind == "boolean":
            return draws.chance(0.5)
        return None if kind == "null" else scalars.text(schema, draws, self.words)

    def tight(self, depth: int) -> bool:
        """Whether to leave out what is optional."""
        return depth > SOFT_DEPTH or self.nodes > SOFT_NODES

    def type_of(self, schema: dict[str, Any], draws: Draws, depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list) and kind:
            names = [str(k) for k in kind]
            if self.tight(depth):
                return min(names, key=_rank)
            return draws.pick([k for k in names if k != "null"] or names)
        if isinstance(kind, str):
            return kind
        for name, keywords in _SHAPE_OF.items():
            if any(k in schema for k in keywords):
                return name
        return "string"

    def flat(self, schema: dict[str, Any], draws: Draws, depth: int) -> dict[str, Any]:
        """The schema with its references, `allOf`, one branch of each choice and its condition
        merged in.
        """
        while depth <= HARD_DEPTH and self.nodes <= HARD_NODES:
            branch = self.branch(schema, draws, depth)
            if branch is None:
                break
            self.nodes += 1
            name, chosen = branch
            rest = {k: v for k, v in schema.items() if k != name}
            schema = merge(rest, chosen)
        return schema

    def branch(
        self, schema: dict[str, Any], draws: Draws, depth: int
    ) -> tuple[str, dict[str, Any]] | None:
        """The first keyword that stands for another schema, and that schema."""
        if isinstance(ref := schema.get("$ref"), str):
            return "$ref", self.resolve(ref)
        if isinstance(parts := schema.get("allOf"), list):
            merged: dict[str, Any] = {}
            for part in parts:
                merged = merge(
                    merged, self.flat(part, draws, depth + 1) if isinstance(part, dict) else {}
                )
            return "allOf", merged
        for name in ("anyOf", "oneOf"):
            if isinstance(found := schema.get(name), list) and found:
                usable = [b for b in found if isinstance(b, dict)] or [{}]
                if self.tight(depth):
                    return name, min(usable, key=_weight)
                return name, draws.pick(usable)
        if isinstance(condition := schema.get("if"), dict) and isinstance(schema.get("then"), dict):
            return "if", merge(condition, schema["then"])
        return None

    def resolve(self, ref: str) -> dict[str, Any]:
        """What a reference within the document points to, {} where there is nothing."""
        found: Any = self.schema
        for part in ref.removeprefix("#").split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(name)
            elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            else:
                return {}
        return found if isinstance(found, dict) and ref.startswith("#") else {}

    def object(self, schema: dict[str, Any], key: bytes, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        known: dict[str, Any] = properties if isinstance(properties, dict) else {}
        required = [k for k in schema.get("required") or () if isinstance(k, str)]
        room = _count(schema.get("maxProperties"), HARD_NODES) - len(required)
        optional = [k for k in known if k not in required]
        if self.tight(depth):
            optional = []
        wanted = [k for k in optional if Draws(derive(key, k, "given")).chance(OPTIONAL_SHARE)]
        names = dict.fromkeys(required + wanted[: max(0, room)])
        for name, needed in (schema.get("dependentRequired") or {}).items():
            if name in names and isinstance(needed, list):
                names |= dict.fromkeys(str(n) for n in needed)
        least = min(_count(schema.get("minProperties"), 0), MAX_ITEMS)
        spare = [k for k in known if k not in names] + [f"extra_{i}" for i in range(least)]
        names |= dict.fromkeys(spare[: max(0, least - len(names))])
        extra = schema.get("additionalProperties", True)
        return {k: self.value(known.get(k, extra), derive(key, k), depth + 1) for k in names}

    def array(self, schema: dict[str, Any], key: bytes, draws: Draws, depth: int) -> list[Any]:
        first = schema.get("prefixItems")
        prefix: list[Any] = first if isinstance(first, list) else []
        items = schema.get("items", {})
        if isinstance(items, list):
            prefix, items = items, schema.get("additionalItems", {})
        low = min(_count(schema.get("minItems"), 0), MAX_ITEMS)
        contained = schema.get("contains")
        wanted = low if self.tight(depth) else max(low, len(prefix), draws.between(1, 3))
        if isinstance(contained, dict):
            wanted = max(wanted, len(prefix) + 1)
        wanted = min(wanted, _count(schema.get("maxItems"), MAX_ITEMS))
        if items is False:
            wanted = min(wanted, len(prefix))
        unique = schema.get("uniqueItems") is True
        made: list[Any] = []
        for i in range(wanted):
            part = prefix[i] if i < len(prefix) else items
            if i == len(prefix) and isinstance(contained, dict):
                part = merge(part if isinstance(part, dict) else {}, contained)
            for attempt in range(8 if unique else 1):
                value = self.value(part, derive(key, i, attempt), depth + 1)
                if not unique or value not in made:
                    made.append(value)
                    break
        return made


def _count(value: Any, default: int) -> int:
    return int(value) if isinstance(value, int | float) else default


def _rank(name: str) -> int:
    return _RANK.index(name) if name in _RANK else len(_RANK)


def _weight(schema: dict[str, Any]) -> int:
    """How far a branch may grow; references are taken for large."""
    if "$ref" in schema or "allOf" in schema:
        return len(_RANK) + 1
    if "const" in schema or "enum" in schema:
        return 0
    kind = schema.get("type")
    names = kind if isinstance(kind, list) else [kind]
    return min((_rank(str(n)) for n in names), default=len(_RANK))
