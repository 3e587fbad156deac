"""Compiled schemas: reasons, limits on the instance, and what the validator is trusted with."""

import subprocess
import sys
import time
from typing import Any

import orjson
import pytest

from router.validators.schema import CompiledSchema, _Cache, compile_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"enum": ["a"]}}},
    "required": ["name"],
    "additionalProperties": False,
}


def failure(schema: dict[str, Any], value: Any) -> str | None:
    return compile_schema(schema, "here").failure(value, orjson.dumps(value))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"name": "x", "tags": ["a"]}, None),
        ({}, "'name', which #/required requires, is missing"),
        ({"name": 3}, "fails type at #/properties/name/type"),
        ({"name": "x", "tags": ["SECRET"]}, "fails enum at #/properties/tags/items/enum"),
        ({"name": "x", "SECRET": 1}, "fails additionalProperties at #/additionalProperties"),
        ([], "fails type at #/type"),
    ],
)
def test_the_reason_names_the_place_in_the_schema_and_no_answer(
    value: Any, reason: str | None
) -> None:
    assert failure(PERSON, value) == reason


def test_a_recursive_schema_gives_no_place() -> None:
    """Working one out would copy the value once per branch and level."""
    tree = {"type": "object", "properties": {"c": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
    deep: Any = 1
    for _ in range(60):
        deep = {"c": deep}
    started = time.perf_counter()
    assert failure(tree, deep) == "does not satisfy the schema"
    assert time.perf_counter() - started < 1


def test_a_deep_answer_fails() -> None:
    deep: Any = []
    for _ in range(120):
        deep = [deep]
    assert failure({}, deep) == "nested deeper than 100"
    assert failure({}, [[[]]]) is None


def test_an_answer_too_large_for_the_schema_fails_instead_of_blocking() -> None:
    wide = {"items": {"anyOf": [{"const": i} for i in range(9_000)]}}
    compiled = compile_schema(wide, "here")
    started = time.perf_counter()
    reason = compiled.failure([0] * 6_000, orjson.dumps([0] * 6_000))
    assert reason == "too large (12001 bytes) to be checked against this schema"
    assert compiled.failure([0] * 5, orjson.dumps([0] * 5)) is None
    assert time.perf_counter() - started < 1


def test_a_long_answer_to_a_large_pattern_fails_instead_of_blocking() -> None:
    text = "ab" * 50_000
    started = time.perf_counter()
    reason = failure({"pattern": "(a|b)*a(a|b){900}c"}, text)
    assert reason == "too large (100002 bytes) to be checked against this schema"
    assert time.perf_counter() - started < 1


def test_many_unique_items_are_checked_quickly() -> None:
    started = time.perf_counter()
    assert failure({"uniqueItems": True}, [{"a": [i]} for i in range(50_000)]) is None
    assert time.perf_counter() - started < 2


def test_a_schema_is_compiled_once_whatever_the_order_of_its_keys() -> None:
    first = compile_schema({"type": "object", "minProperties": 7}, "here")
    assert compile_schema({"minProperties": 7, "type": "object"}, "there") is first
    assert compile_schema({"minProperties": 8, "type": "object"}, "here") is not first


def test_the_cache_is_bounded_by_memory() -> None:
    cache = _Cache(20_000)
    schemas = [compile_schema({"const": i}, "here") for i in range(8)]
    for i, schema in enumerate(schemas):
        cache.put(b"%d" % i, schema)
    kept: list[CompiledSchema | None] = [cache.get(b"%d" % i) for i in range(8)]
    assert kept[:4] == [None] * 4
    assert kept[4:] == schemas[4:]
    cache.put(b"x" * 20_000, schemas[0])
    assert cache.get(b"x" * 20_000) is None


TRUSTED = """
import jsonschema_rs
R = {"$ref": "#"}
N = {"$ref": "#/$defs/n"}
def deep(n, leaf, array):
    for _ in range(n):
        leaf = [leaf] if array else {"c": leaf}
    return leaf
def obj(x): return {"type": "object", "properties": {"c": x}}
def arr(x): return {"type": "array", "items": x}
TEXT = {"type": "string"}
objects = [
    {"anyOf": [obj(R), obj(R), TEXT]},
    {"oneOf": [obj(R), obj(R), TEXT]},
    {"allOf": [obj(R), obj(R)]},
    {"if": obj(R), "then": obj(R), "else": TEXT},
    {"dependentSchemas": {"c": obj(R)}, "properties": {"c": R}, "type": "object"},
    {"patternProperties": {"c": R}, "properties": {"c": R}, "type": "object"},
    {"anyOf": [obj(R), obj(R)], "unevaluatedProperties": {"type": "integer"}},
    {"type": "object", "anyOf": [{"unevaluatedProperties": R}] * 2, "unevaluatedProperties": R},
    {**N, "$defs": {"n": {"anyOf": [obj(N), obj(N), TEXT]}}},
]
arrays = [
    {"anyOf": [arr(R), arr(R), TEXT]},
    {"if": arr(R), "then": {"items": R}, "else": TEXT},
    {"not": arr({"not": R})},
    {"type": ["array", "string"], "contains": R, "items": R},
]
for schemas, array in ((objects, False), (arrays, True)):
    for schema in schemas:
        validator = jsonschema_rs.validator_for(schema, offline=True)
        for leaf in (1, "x"):
            validator.is_valid(deep(100, leaf, array))
print("done")
"""


def test_the_validator_remembers_references_that_close_a_cycle() -> None:
    """The bounds rest on it. A version that does not would run these for ever, so they run where
    they can be stopped.
    """
    ran = subprocess.run(
        [sys.executable, "-c", TRUSTED], capture_output=True, text=True, timeout=20, check=False
    )
    assert (ran.stdout.strip(), ran.returncode) == ("done", 0), ran.stderr
