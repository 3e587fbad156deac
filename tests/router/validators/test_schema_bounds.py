"""Which schemas are refused, and what the rest may cost."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.validators.schema import MAX_INSTANCE_DEPTH, compile_schema
from router.validators.schema_bounds import MAX_VISITS, SchemaCost, measure, plain
from serving.errors import InvalidRequest

ROOT = {"$ref": "#"}
TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": ROOT}},
    "required": ["value"],
}
LINKED = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
        }
    },
}


def nested(depth: int, key: str, value: Any) -> dict[str, Any]:
    for _ in range(depth):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def laughs(depth: int, width: int = 2) -> dict[str, Any]:
    """Each definition refers to the next one `width` times."""
    levels: dict[str, Any] = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * width} for i in range(depth)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**levels, f"d{depth}": {"type": "object"}}}


def tangle(size: int) -> dict[str, Any]:
    """Each definition refers to every one, below the same property."""
    refs = [{"properties": {"c": {"$ref": f"#/$defs/d{k}"}}} for k in range(size)]
    text = {"type": "string"}
    return {"$ref": "#/$defs/d0", "$defs": {f"d{i}": {"anyOf": [*refs, text]} for i in range(size)}}


def unevaluated(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"allOf": [schema], "unevaluatedProperties": {}}
    return schema


def refused(schema: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        compile_schema(schema, "here")
    assert caught.value.param == "here"
    assert caught.value.message.startswith("here: ")
    return caught.value.message


@pytest.mark.parametrize(
    ("schema", "at", "reason"),
    [
        (ROOT, "#", "leads back to itself"),
        ({"allOf": [{"anyOf": [ROOT]}]}, "#/allOf/0/anyOf/0", "leads back to itself"),
        ({"not": ROOT}, "#/not", "leads back to itself"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"if": {"$ref": "#/$defs/a"}}}},
            "#/$defs/a/if",
            "leads back to itself",
        ),
        (
            # The one way round descends into a property, the other does not.
            {
                "properties": {"b": {"$ref": "#/$defs/b"}},
                "anyOf": [{"$ref": "#/$defs/b"}],
                "$defs": {"b": {"allOf": [ROOT]}},
            },
            "#/$defs/b/allOf/0",
            "leads back to itself",
        ),
        ({"$ref": "http://127.0.0.1:9/x"}, "#", "must be '#' or begin with '#/'"),
        ({"$ref": "file:///etc/passwd"}, "#", "must be '#' or begin with '#/'"),
        ({"items": {"$ref": "other.json"}}, "#/items", "must be '#' or begin with '#/'"),
        ({"$ref": "#/$defs/none"}, "#", "points nowhere"),
        ({"$ref": "#/title", "title": "t"}, "#", "points to no schema"),
        ({"items": {"$id": "http://x.test/"}}, "#/items", "$id is supported at the root only"),
        ({"properties": {"a": {"$dynamicRef": "#a"}}}, "#/properties/a", "$dynamicRef is not"),
        (laughs(20), "#/$defs/d", f"apply more than {MAX_VISITS} times"),
        (laughs(3, 60), "#/$defs/d", f"apply more than {MAX_VISITS} times"),
        (tangle(10), "#/$defs/d", f"apply more than {MAX_VISITS} times"),
        (unevaluated(16), "#/allOf/0", f"apply more than {MAX_VISITS} times"),
        (
            {"allOf": [{"$ref": "#/$defs/big"}] * 50, "$defs": {"big": {"enum": [*range(5_000)]}}},
            "#/$defs/big",
            f"apply more than {MAX_VISITS} times",
        ),
        (laughs(150, 1), "#/$defs/d", "references nest deeper than 200"),
        (nested(65, "not", {}), "#", "nested deeper than 64"),
        ({"enum": list(range(60_000))}, "#", "more than 50000 values"),
        ({"title": "x" * 300_000}, "#", "more than 262144 bytes"),
        ({"const": 2**70}, "#", "not JSON"),
        ({"const": "\ud800"}, "#", "not JSON"),
        ([], "#", "a schema must be an object"),
        (
            {"patternProperties": {f"^{i}": {} for i in range(101)}},
            "#",
            "more than 100 patterns",
        ),
        ({"items": {"pattern": "a" * 1_001}}, "#/items", "a pattern over 1000 characters"),
    ],
)
def test_what_has_no_bound_is_refused_and_located(schema: Any, at: str, reason: str) -> None:
    message = refused(schema)
    assert f"JSON Schema refused at {at}" in message
    assert reason in message


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"minLength": -1},
        {"properties": []},
        {"required": "a"},
        {"$schema": "http://127.0.0.1:9/meta"},
        {"pattern": "("},
        {"pattern": "(?=a)b"},
        {"pattern": r"(a)\1"},
        {"pattern": "((a{1000}){1000}){1000}"},
        {"patternProperties": {"(?<!a)b": {}}},
    ],
)
def test_what_is_no_schema_of_a_linear_validator_is_refused(schema: dict[str, Any]) -> None:
    assert "not a JSON Schema" in refused(schema)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (TREE, {"value": 1, "children": [{"value": 2}]}, {"value": 1, "children": [{}]}),
        (LINKED, {"next": {"next": None}}, {"next": {"next": 3}}),
        ({"$id": "http://x.test/s", "properties": {"c": ROOT}, "maxProperties": 1}, {"c": {}}, 1),
        ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"const": 1}}}, 1, 2),
        (
            {"properties": {"$ref": {"type": "string"}, "$id": {"const": 1}}},
            {"$ref": "x"},
            {"$id": 2},
        ),
        ({"items": [{"const": 1}], "$schema": "http://json-schema.org/draft-07/schema#"}, [1], [2]),
        ({"pattern": "^(a+)+$"}, "aaa", "b"),
        ({"pattern": r"^[\p{L} '\u2019-]{1,40}$"}, "Zoë O'Neil", "42"),
        ({"enum": [f"label {i}" for i in range(3_000)]}, "label 7", "label x"),
        (
            {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
            {"a": 1, "b": 1},
            {"c": 1},
        ),
        ({"prefixItems": [True, False], "unevaluatedItems": False}, [1], [1, 2]),
        ({"type": "string", "format": "date", "x-note": [1, {"a": None}]}, "no date", 1),
        (unevaluated(4) | {"type": "object"}, {"a": 1}, []),
    ],
)
def test_ordinary_schemas_are_served(schema: dict[str, Any], good: Any, bad: Any) -> None:
    if isinstance(bad, int) and "$id" in schema:
        bad = {"c": {"a": 1, "b": 2}}
    compiled = compile_schema(schema, "here")
    assert compiled.failure(good, orjson.dumps(good)) is None
    assert compiled.failure(bad, orjson.dumps(bad)) is not None


@pytest.mark.parametrize(
    ("schema", "cost"),
    [
        ({}, SchemaCost(1, 0, recursive=False)),
        ({"properties": {"a": {"type": "string"}, "b": True}}, SchemaCost(3, 0, recursive=False)),
        (laughs(3), SchemaCost(2 + 4 + 8 + 1 + 1 + 2 + 4 + 8, 0, recursive=False)),
        ({"enum": [1, [2, 3]]}, SchemaCost(1 + 5, 0, recursive=False)),
        ({"enum": ["a", "b"], "required": ["c"]}, SchemaCost(1, 0, recursive=False)),
        (
            {"unevaluatedProperties": False, "anyOf": [{}, {}]},
            SchemaCost(1 + 3 * 4, 0, recursive=False),
        ),
        # Root, array of items and the reference once from the root and once from itself.
        ({"items": ROOT}, SchemaCost(2 * 3, 0, recursive=True)),
    ],
)
def test_the_cost_counts_what_is_applied(schema: dict[str, Any], cost: SchemaCost) -> None:
    assert measure(plain(schema, "here"), "here") == cost


def test_patterns_cost_by_their_size_and_by_how_often_they_apply() -> None:
    once = measure({"pattern": "abc"}, "here").pattern_steps
    assert once > 3
    assert measure({"items": {"pattern": "abc"}}, "here").pattern_steps == once
    twice = {"properties": {"a": {"$ref": "#/$defs/p"}, "b": {"$ref": "#/$defs/p"}}}
    assert measure({**twice, "$defs": {"p": {"pattern": "abc"}}}, "x").pattern_steps == 2 * once
    assert measure({"patternProperties": {"abc": {}}}, "here").pattern_steps == once


KEYS = st.sampled_from(["a", "b"])
REFS = st.integers(0, 4).map(lambda i: {"$ref": f"#/$defs/d{i}"})
LEAVES = st.sampled_from([{}, {"type": "integer"}, {"type": "object"}, {"required": ["a"]}])


def _above(below: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    many = st.lists(below, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"anyOf": many}),
        st.fixed_dictionaries({"oneOf": many}),
        st.fixed_dictionaries({"allOf": many, "unevaluatedProperties": below}),
        st.fixed_dictionaries({"if": below, "then": below, "else": below}),
        st.fixed_dictionaries({"properties": st.dictionaries(KEYS, below, min_size=1)}),
        st.fixed_dictionaries({"additionalProperties": below, "not": below}),
        st.fixed_dictionaries({"items": below, "contains": below}),
    )


SCHEMAS = st.recursive(st.one_of(REFS, LEAVES), _above, max_leaves=6)
CYCLIC = st.lists(SCHEMAS, min_size=5, max_size=5).map(
    lambda defs: {"$ref": "#/$defs/d0", "$defs": {f"d{i}": d for i, d in enumerate(defs)}}
)


@settings(deadline=2_000, max_examples=150)
@given(CYCLIC, st.sampled_from([1, {}]), st.booleans())
def test_whatever_is_let_pass_is_checked_in_time(
    schema: dict[str, Any], leaf: Any, arrays: bool
) -> None:
    """On a value as deep as one may be. Without the bounds some of these run for ever."""
    try:
        compiled = compile_schema(schema, "here")
    except InvalidRequest:
        return
    value = leaf
    for _ in range(MAX_INSTANCE_DEPTH - 2):
        value = [value, value][:1] if arrays else {"a": value, "b": 1}
    compiled.failure(value, orjson.dumps(value))
