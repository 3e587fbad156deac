import copy
import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import TierRejected
from serving.hosted.emulator.schema_check import check_schema
from serving.hosted.translate.schema import acceptable


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_objects_are_closed_and_the_argument_is_left_alone() -> None:
    schema = obj(a={"type": "string"}, b=obj(c={"type": ["integer", "null"]}))
    given = copy.deepcopy(schema)
    made = acceptable(schema)
    assert schema == given
    assert made.softened == ()
    assert made.schema["additionalProperties"] is False
    assert made.schema["properties"]["b"]["additionalProperties"] is False
    check_schema(made.schema, "schema")


@pytest.mark.parametrize(
    ("node", "keyword"),
    [
        ({"type": "integer", "minimum": 1}, "minimum"),
        ({"type": "string", "maxLength": 5}, "maxLength"),
        ({"type": "string", "pattern": "^a"}, "pattern"),
        ({"type": "string", "format": "regex"}, "format"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 3}, "minItems"),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "uniqueItems"),
        ({"type": "string", "not": {"const": "x"}}, "not"),
    ],
)
def test_a_keyword_that_no_grammar_holds_becomes_a_description(
    node: dict[str, Any], keyword: str
) -> None:
    made = acceptable(obj(a=node | {"description": "An a."}))
    assert made.softened == (f"#/properties/a/{keyword}",)
    found = made.schema["properties"]["a"]
    assert keyword not in found
    assert found["description"].startswith("An a.\n")
    assert keyword in found["description"]
    check_schema(made.schema, "schema")


@pytest.mark.parametrize(
    "node",
    [
        {"type": "string", "enum": ["a", "b"]},
        {"enum": ["a", 1, None]},
        {"const": True},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        {"type": "string", "format": "date-time"},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"allOf": [{"type": "string"}]},
    ],
)
def test_what_is_supported_stays_as_it_is(node: dict[str, Any]) -> None:
    made = acceptable(obj(a=node))
    assert made.schema["properties"]["a"] == node
    check_schema(made.schema, "schema")


def test_one_of_is_any_of() -> None:
    made = acceptable(obj(a={"oneOf": [{"type": "string"}, {"type": "integer"}]}))
    assert made.schema["properties"]["a"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}


def test_references_within_the_schema_are_kept() -> None:
    schema = obj(a={"$ref": "#/$defs/A"}, b={"$ref": "#/$defs/A"}) | {
        "$defs": {"A": obj(x={"type": "integer", "minimum": 0})}
    }
    made = acceptable(schema)
    assert made.schema["properties"]["a"] == {"$ref": "#/$defs/A"}
    assert made.softened == ("#/$defs/A/properties/x/minimum",)
    check_schema(made.schema, "schema")


def chain(length: int) -> dict[str, Any]:
    defs: dict[str, Any] = {f"D{i}": {"$ref": f"#/$defs/D{i + 1}"} for i in range(length)}
    return obj(a={"$ref": "#/$defs/D0"}) | {"$defs": defs | {f"D{length}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "keyword", "path"),
    [
        (obj(a={"type": "object"}), "additionalProperties", "#/properties/a"),
        (
            obj(a={"type": "object", "additionalProperties": {"type": "string"}}),
            "additionalProperties",
            "#/properties/a",
        ),
        (obj(a={}), "type", "#/properties/a"),
        (obj(a=True), "True", "#/properties/a"),
        (obj(a={"type": "money"}), "type", "#/properties/a"),
        (obj(a={"type": "array"}), "items", "#/properties/a"),
        (obj(a={"enum": [{"b": 1}]}), "enum", "#/properties/a"),
        (obj(a={"enum": []}), "enum", "#/properties/a"),
        (obj(a={"const": [1]}), "const", "#/properties/a"),
        (obj(a={"$ref": "https://x.test/s.json"}), "$ref", "#/properties/a"),
        (obj(a={"$ref": "#/$defs/Missing"}), "$ref", "#/properties/a"),
        (obj(a={"anyOf": []}), "choice", "#/properties/a/anyOf"),
        (obj(a={"type": "object", "patternProperties": {}}), "patternProperties", "#/properties/a"),
        (obj() | {"required": ["z"], "additionalProperties": False}, "required", "#"),
        (chain(5_000), "$ref", "#/"),
        (
            obj(a={"$ref": "#/$defs/N"})
            | {"$defs": {"N": obj(next={"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]})}},
            "$ref",
            "#/$defs/N",
        ),
    ],
)
def test_what_would_change_the_meaning_is_refused_by_name(
    schema: dict[str, Any], keyword: str, path: str
) -> None:
    with pytest.raises(TierRejected) as caught:
        acceptable(schema)
    assert keyword in caught.value.message
    assert path in caught.value.message
    assert caught.value.code == "unsupported_schema"


def test_nesting_without_end_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(300):
        schema = {"type": "array", "items": schema}
    with pytest.raises(TierRejected, match="nesting"):
        acceptable(schema)


leaves = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": ["null", "string"]},
     {"enum": ["a", 1, None]}, {"const": "x"}, {"type": "string", "maxLength": 3},
     {"type": "integer", "minimum": 3}, {"type": "string", "format": "date"}, {}]
)  # fmt: skip


def wider(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(["a", "b", "c"])
    return st.one_of(
        st.dictionaries(keys, inner, max_size=3).map(
            lambda p: {"type": "object", "properties": p, "required": sorted(p)}
        ),
        inner.map(lambda i: {"type": "array", "items": i, "minItems": 1}),
        st.lists(inner, min_size=1, max_size=2).map(lambda i: {"anyOf": i}),
        st.lists(inner, min_size=1, max_size=2).map(lambda i: {"oneOf": i}),
        st.dictionaries(keys, inner, min_size=1).map(
            lambda p: {"type": "object", "properties": p, "additionalProperties": True}
        ),
    )


def an_instance(schema: dict[str, Any]) -> Any:
    """Some value of an accepted schema."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return an_instance(schema["anyOf"][0])
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "object":
        return {k: an_instance(v) for k, v in schema["properties"].items()}
    if kind == "array":
        return [an_instance(schema["items"])]
    return {"string": "2026-01-01", "integer": 0, "boolean": True, "null": None}[kind]


@settings(max_examples=150, deadline=None)
@given(st.recursive(leaves, wider, max_leaves=6))
def test_a_schema_is_refused_by_name_or_compiles_and_never_widens(schema: dict[str, Any]) -> None:
    try:
        made = acceptable(schema)
    except TierRejected:
        return
    check_schema(made.schema, "schema")
    if not made.softened and "oneOf" not in json.dumps(schema):
        assert jsonschema_rs.is_valid(schema, an_instance(made.schema))
