"""Refuses JSON Schemas that the real API cannot compile into a grammar. Written independently of
the translation, so that each checks the other.
"""

from collections.abc import Mapping
from typing import Any

from serving.hosted.emulator.errors import invalid

SCALARS = (str, int, float, bool, type(None))
ANY_TYPE = frozenset({"title", "description", "default", "$schema", "$id", "$defs", "definitions"})
ALLOWED: dict[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems"}),
    "string": frozenset({"format"}),
    "number": frozenset(),
    "integer": frozenset(),
    "boolean": frozenset(),
    "null": frozenset(),
}
FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
COMBINING = frozenset({"anyOf", "allOf", "enum", "const", "$ref"})


def check_schema(schema: Mapping[str, Any], where: str) -> None:
    """Raises the 400 that names the keyword and its place."""
    _check(schema, where, schema, ())


def _check(node: Any, where: str, root: Mapping[str, Any], refs: tuple[str, ...]) -> None:
    if not isinstance(node, Mapping):
        raise invalid(f"{where}: expected an object schema")
    types = _types(node, where)
    for keyword in node:
        for_type = any(keyword in ALLOWED[t] for t in types)
        if keyword not in ANY_TYPE | COMBINING | {"type"} and not for_type:
            kind = "/".join(sorted(types)) or "this"
            raise invalid(f"{where}: For '{kind}' type, property '{keyword}' is not supported")
    if not types and not COMBINING & node.keys():
        raise invalid(f"{where}: a schema needs a type")
    _check_values(node, types, where)
    if "$ref" in node:
        _check_ref(str(node["$ref"]), where, root, refs)
    for name, child in _children(node, types):
        _check(child, f"{where}.{name}", root, refs)


def _types(node: Mapping[str, Any], where: str) -> frozenset[str]:
    value = node.get("type", [])
    types = frozenset([value] if isinstance(value, str) else value)
    unknown = types - ALLOWED.keys()
    if unknown:
        raise invalid(f"{where}.type: unknown type {min(unknown)!r}")
    return types


def _check_values(node: Mapping[str, Any], types: frozenset[str], where: str) -> None:
    if "object" in types and node.get("additionalProperties") is not False:
        raise invalid(
            f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false"
        )
    if node.get("minItems", 0) not in (0, 1):
        raise invalid(
            f"{where}: For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        )
    if "format" in node and node["format"] not in FORMATS:
        raise invalid(f"{where}: string format {node['format']!r} is not supported")
    literals = [*node.get("enum", ()), *([node["const"]] if "const" in node else [])]
    if ("enum" in node and not node["enum"]) or any(not isinstance(v, SCALARS) for v in literals):
        raise invalid(f"{where}: enum and const take strings, numbers, booleans and null")


def _check_ref(ref: str, where: str, root: Mapping[str, Any], refs: tuple[str, ...]) -> None:
    if not ref.startswith(("#/$defs/", "#/definitions/")):
        raise invalid(f"{where}.$ref: only references within the schema are supported")
    if ref in refs:
        raise invalid(f"{where}.$ref: recursive schemas are not supported")
    found: Any = root
    for step in ref[2:].split("/"):
        found = found.get(step) if isinstance(found, Mapping) else None
    if found is None:
        raise invalid(f"{where}.$ref: {ref} does not exist")
    _check(found, where, root, (*refs, ref))


def _children(node: Mapping[str, Any], types: frozenset[str]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for keyword in ("$defs", "definitions"):
        found += [(f"{keyword}.{k}", v) for k, v in node.get(keyword, {}).items()]
    for keyword in ("anyOf", "allOf"):
        found += [(f"{keyword}.{i}", v) for i, v in enumerate(node.get(keyword, ()))]
    if "object" in types:
        found += [(f"properties.{k}", v) for k, v in node.get("properties", {}).items()]
    if "array" in types and "items" in node:
        found.append(("items", node["items"]))
    return found
