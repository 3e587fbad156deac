import json
import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engines.mock.schema import sample

WORDS = ("invoice", "customer", "berlin")
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "email": {"type": "string", "format": "email"},
        "tags": {"type": "array", "items": {"enum": ["a", "b", 3, None]}, "maxItems": 2},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "children", "next"],
            "additionalProperties": False,
        }
    },
}
SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "string"},
    {"type": ["integer", "null"]},
    {"const": {"a": [1, None]}},
    {"enum": [1, "x", None]},
    PERSON,
    TREE,
    {"type": "array", "items": PERSON, "minItems": 2, "maxItems": 4},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    {
        "type": "array",
        "items": {"type": "integer", "maximum": 9},
        "minItems": 5,
        "uniqueItems": True,
    },
    {"type": "array", "contains": {"const": 7}, "items": {"type": "integer"}},
    {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "boolean"}]},
    {"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}]},
    {
        "allOf": [
            {"required": ["a"], "properties": {"a": {"type": "integer"}}},
            {"properties": {"a": {"minimum": 5}}},
        ]
    },
    {"type": "object", "minProperties": 3, "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 1},
    {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}},
    {"type": "string", "not": {"enum": ["invoice"]}},
    {"type": "string", "pattern": "^INV-[0-9]{6}$"},
    {
        "properties": {"a~b/c": {"type": "integer"}, "d": {"$ref": "#/properties/a~0b~1c"}},
        "required": ["d"],
    },
    {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}, "size": {"type": "integer"}},
        "required": ["kind"],
        "if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]},
        "then": {"required": ["size"]},
    },
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"s": {"type": "string"}},
        "type": "array",
        "items": [{"$ref": "#/definitions/s"}],
        "additionalItems": {"type": "null"},
        "minItems": 1,
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: json.dumps(s)[:60])
def test_samples_validate(schema: dict[str, Any]) -> None:
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    for i in range(30):
        found = sample(schema, bytes([i]), WORDS)
        assert found.valid is True
        validator.validate(json.loads(json.dumps(found.value)))


def scalars() -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.sampled_from([{"type": t} for t in ("string", "integer", "number", "boolean", "null")]),
        st.builds(
            lambda a, b: {"type": "integer", "minimum": a, "maximum": a + b},
            st.integers(-99, 99),
            st.integers(0, 9),
        ),
        st.builds(
            lambda a, b: {"type": "string", "minLength": a, "maxLength": a + b},
            st.integers(0, 9),
            st.integers(0, 9),
        ),
        st.builds(
            lambda v: {"enum": v}, st.lists(st.integers() | st.text(), min_size=1, unique_by=repr)
        ),
    )


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def make(properties: dict[str, Any], needed: list[str], closed: bool) -> dict[str, Any]:
        required = [n for n in dict.fromkeys(needed) if n in properties]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": not closed,
        }

    names = st.sampled_from(["a", "b", "c", "dé", "$ref", "type"])
    return st.builds(
        make, st.dictionaries(names, inner, max_size=4), st.lists(names), st.booleans()
    )


schemas = st.recursive(
    scalars(),
    lambda inner: st.one_of(
        objects(inner),
        st.builds(
            lambda i, n: {"type": "array", "items": i, "minItems": n, "maxItems": n + 2},
            inner,
            st.integers(0, 3),
        ),
        st.builds(lambda i: {"anyOf": i}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(schemas, st.binary(max_size=8))
def test_any_plain_schema_is_satisfied(schema: dict[str, Any], key: bytes) -> None:
    found = sample(schema, key, WORDS)
    assert found.valid is True
    jsonschema_rs.validator_for(schema).validate(found.value)


def test_the_same_for_the_same_key_and_varied_over_keys() -> None:
    found = [json.dumps(sample(PERSON, bytes([i]), WORDS).value) for i in range(20)]
    assert len(set(found)) > 15
    assert found[4] == json.dumps(sample(PERSON, bytes([4]), WORDS).value)


def test_a_schema_that_differs_in_one_place_gives_a_value_that_differs_there() -> None:
    other = {**PERSON, "properties": {**PERSON["properties"], "age": {"type": "integer"}}}  # type: ignore[dict-item]  # a plain dict
    for i in range(20):
        one, two = (sample(s, bytes([i]), WORDS).value for s in (PERSON, other))
        assert {**one, "age": 0} == {**two, "age": 0}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/other.json"},
        {"$ref": "#/nowhere"},
        {"type": "unheard-of"},
        {"type": "object", "required": 5},
        {"type": "array", "minItems": "many"},
        {"properties": []},
        {"pattern": "(?=a)"},
        {"anyOf": [True, 5]},
        {"x": 10**40, "type": "integer"},
    ],
)
def test_what_is_no_usable_schema_still_gets_something(schema: dict[str, Any]) -> None:
    assert sample(schema, b"k", WORDS).valid is not False


def test_unsatisfiable_schemas_are_not_valid() -> None:
    assert sample({"type": "integer", "minimum": 5, "maximum": 4}, b"k", WORDS).valid is False


LOOP = {
    "$ref": "#/$defs/a",
    "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}},
}
ENDLESS = {
    "$ref": "#/$defs/a",
    "$defs": {
        "a": {
            "type": "object",
            "properties": {c: {"$ref": "#/$defs/a"} for c in "abcdefgh"},
            "required": list("abcdefgh"),
        }
    },
}
DEEP: dict[str, Any] = {"type": "integer"}
for _ in range(60):
    DEEP = {"type": "array", "items": DEEP, "minItems": 3}


@pytest.mark.parametrize(
    "schema",
    [
        LOOP,
        ENDLESS,
        DEEP,
        {"type": "array", "items": {}, "minItems": 10**9},
        {"type": "object", "minProperties": 10**9},
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(20_000)}},
        {"$ref": "#"},
    ],
    ids=["loop", "endless", "deep", "items", "properties", "wide", "self"],
)
def test_hostile_schemas_are_bounded(schema: dict[str, Any]) -> None:
    began = time.perf_counter()
    found = sample(schema, b"k", WORDS)
    assert time.perf_counter() - began < 2
    assert len(json.dumps(found.value)) < 200_000
