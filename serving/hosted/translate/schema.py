"""JSON Schema as Claude's structured outputs accept it.

Claude compiles a schema into a grammar and answers 400 to keywords that a grammar cannot hold.
Such a keyword is moved into the description of its place, where the model can read it, and
reported as softened: the answer is still checked against the client's own schema above. What
would change which answers are possible at all is refused by name instead.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.errors import TierRejected

TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6"}) | {
    "time",
    "uri",
    "uuid",
}
KEPT = frozenset({"title", "description"})
ANNOTATIONS = frozenset(
    {"$schema", "$id", "$anchor", "$comment", "default", "deprecated", "examples", "readOnly"}
    | {"writeOnly"}
)
REFUSED = frozenset({"patternProperties", "prefixItems", "$dynamicRef", "$recursiveRef"})
DEFINITIONS = ("$defs", "definitions")
MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Acceptable:
    """A schema that Claude accepts, and the keywords that became descriptions (`path.keyword`)."""

    schema: dict[str, Any]
    softened: tuple[str, ...]


def acceptable(schema: Mapping[str, Any], *, param: str = "response_format") -> Acceptable:
    """`schema` made acceptable; the argument is not modified. `TierRejected` names a keyword and
    its path where that would change what the schema means.
    """
    maker = _Maker(schema, param)
    made = maker.visit(schema, "#", 0)
    return Acceptable(made, tuple(maker.softened))


class _Maker:
    def __init__(self, root: Mapping[str, Any], param: str) -> None:
        self._root, self._param = root, param
        self._references: dict[str, None] = {}
        self.softened: list[str] = []

    def visit(self, node: Any, path: str, depth: int) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise self._refuse(path, "nesting", f"deeper than {MAX_DEPTH} levels")
        if not isinstance(node, Mapping):
            raise self._refuse(path, repr(node), "every place needs a schema with a type")
        for keyword in REFUSED & node.keys():
            raise self._refuse(path, keyword, "is not supported")
        made: dict[str, Any] = {k: node[k] for k in ("title", "description") if k in node}
        handled = set(KEPT | ANNOTATIONS)
        for name in DEFINITIONS:
            if name in node:
                handled.add(name)
                made[name] = self._all(node[name], f"{path}/{name}", depth)
        if "$ref" in node:
            made["$ref"] = self._reference(node["$ref"], path)
            handled.add("$ref")
        else:
            handled |= self._shape(node, made, path, depth)
        self._soften(node, made, path, handled)
        return made

    def _shape(
        self, node: Mapping[str, Any], made: dict[str, Any], path: str, depth: int
    ) -> set[str]:
        """What is not a reference: a type, literals or a choice. Returns the keywords it used."""
        handled: set[str] = set()
        for keyword in ("enum", "const"):
            if keyword in node:
                made[keyword] = self._literals(node[keyword], path, keyword)
                handled.add(keyword)
        for keyword, becomes in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
            if keyword in node and becomes not in made:
                made[becomes] = self._choice(node[keyword], f"{path}/{keyword}", depth)
                handled.add(keyword)
        if "type" in node or "properties" in node:
            made["type"] = self._type(node.get("type", "object"), path)
            handled |= {"type"}
        elif not handled:
            raise self._refuse(path, "type", "is missing, and an unrestricted value")
        types = made.get("type", ())
        types = {types} if isinstance(types, str) else set(types)
        if "object" in types:
            handled |= self._object(node, made, path, depth)
        if "array" in types:
            handled |= self._array(node, made, path, depth)
        if "string" in types and node.get("format") in FORMATS:
            made["format"] = node["format"]
            handled.add("format")
        return handled

    def _object(
        self, node: Mapping[str, Any], made: dict[str, Any], path: str, depth: int
    ) -> set[str]:
        properties = node.get("properties") or {}
        extra = node.get("additionalProperties")
        if not properties and extra is not False:
            raise self._refuse(path, "additionalProperties", "for an object of free keys")
        loose = [k for k in node.get("required") or () if k not in properties]
        if loose:
            raise self._refuse(path, "required", f"of {loose[0]!r}, which is no property,")
        made["properties"] = self._all(properties, f"{path}/properties", depth)
        made["additionalProperties"] = False
        if "required" in node:
            made["required"] = list(node["required"] or ())
        return {"properties", "required", "additionalProperties"}

    def _array(
        self, node: Mapping[str, Any], made: dict[str, Any], path: str, depth: int
    ) -> set[str]:
        handled: set[str] = set()
        if "items" not in node:
            raise self._refuse(path, "items", "is missing, and an array of unrestricted values")
        made["items"] = self.visit(node["items"], f"{path}/items", depth + 1)
        handled.add("items")
        if node.get("minItems") in (0, 1):
            made["minItems"] = node["minItems"]
            handled.add("minItems")
        return handled

    def _all(self, nodes: Any, path: str, depth: int) -> dict[str, Any]:
        if not isinstance(nodes, Mapping):
            raise self._refuse(path, "properties", "must be an object of schemas;")
        return {str(k): self.visit(v, f"{path}/{k}", depth + 1) for k, v in nodes.items()}

    def _choice(self, nodes: Any, path: str, depth: int) -> list[dict[str, Any]]:
        if not isinstance(nodes, list) or not nodes:
            raise self._refuse(path, "choice", "must be a non-empty list of schemas;")
        return [self.visit(node, f"{path}/{i}", depth + 1) for i, node in enumerate(nodes)]

    def _literals(self, value: Any, path: str, keyword: str) -> Any:
        values = value if keyword == "enum" else [value]
        if not isinstance(values, list) or not values:
            raise self._refuse(path, keyword, "must be a non-empty list;")
        if any(isinstance(v, Mapping | list) for v in values):
            raise self._refuse(path, keyword, "of objects or arrays")
        return list(values) if keyword == "enum" else value

    def _type(self, value: Any, path: str) -> Any:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or not TYPES.issuperset(map(str, names)):
            raise self._refuse(path, "type", f"{value!r}")
        return value

    def _reference(self, target: Any, path: str) -> str:
        """A reference inside the schema that does not lead back to itself."""
        if not isinstance(target, str) or not target.startswith(("#/$defs/", "#/definitions/")):
            raise self._refuse(path, "$ref", f"to {target!r}")
        found: Any = self._root
        for step in target[2:].split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or key not in found:
                raise self._refuse(path, "$ref", f"to {target!r}, which is not there,")
            found = found[key]
        self._check_recursion(found, (target,), path)
        return target

    def _check_recursion(self, node: Any, seen: tuple[str, ...], path: str) -> None:
        if seen[-1] in self._references:
            return
        if len(seen) > MAX_DEPTH:
            raise self._refuse(path, "$ref", f"through more than {MAX_DEPTH} others")
        stack = [node]
        while stack:
            item = stack.pop()
            if isinstance(item, Mapping):
                target = item.get("$ref")
                if isinstance(target, str):
                    if target in seen:
                        raise self._refuse(path, "$ref", "that recurs")
                    self._check_recursion(self._lookup(target), (*seen, target), path)
                stack.extend(item.values())
            elif isinstance(item, list):
                stack.extend(item)
        self._references[seen[-1]] = None

    def _lookup(self, target: str) -> Any:
        found: Any = self._root
        for step in target.removeprefix("#/").split("/"):
            found = found.get(step) if isinstance(found, Mapping) else None
        return found

    def _soften(
        self, node: Mapping[str, Any], made: dict[str, Any], path: str, handled: set[str]
    ) -> None:
        left = {k: v for k, v in node.items() if k not in handled}
        if not left:
            return
        self.softened += [f"{path}/{k}" for k in left]
        rules = ", ".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in left.items())
        text = f"Also required: {rules}"
        made["description"] = f"{made['description']}\n{text}" if "description" in made else text

    def _refuse(self, path: str, keyword: str, why: str) -> TierRejected:
        return TierRejected(
            f"the schema's {keyword} at {path} {why} cannot be answered in by Claude",
            param=self._param,
            code="unsupported_schema",
        )
