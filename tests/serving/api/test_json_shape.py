"""The pre-scan against a slow reference that reads character by character."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.api.json_shape import JsonShape, count_members, json_shape

PLENTY = 1_000_000


@dataclass
class Reference:
    """What a parser goes through, up to where the text ends or stops being JSON's strings."""

    structure: int = 0
    depth: int = 0
    members: int = 0


def outside_strings(text: bytes) -> Iterator[str]:
    inside = escaped = False
    for char in text.decode("latin-1"):
        if escaped:
            escaped = False
        elif inside and char == "\\":
            escaped = True
        elif char == '"':
            inside = not inside
        elif not inside:
            yield char


def reference(text: bytes) -> Reference:
    found, depth = Reference(), 0
    for char in outside_strings(text):
        depth += (char in "[{") - (char in "]}")
        found.depth = max(found.depth, depth)
        found.structure += char in "[{,"
        found.members += char == ":"
    return found


def values(node: object) -> int:
    if isinstance(node, dict):
        return 1 + sum(values(v) for v in node.values())
    return 1 + sum(values(v) for v in node) if isinstance(node, list) else 1


TEXT = st.text(alphabet=st.sampled_from('ab"\\[]{},:\n\u00e9 /'), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=25,
)


@given(JSON, st.booleans())
def test_valid_json_is_measured_exactly(value: Any, indented: bool) -> None:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else 0)
    shape, slow = json_shape(text, PLENTY), reference(text)
    assert shape == JsonShape(1 + slow.structure, slow.depth, slow.members)
    assert values(value) <= shape.nodes <= 2 * values(value)
    assert shape.members == count_members(value)


@given(JSON, st.data())
def test_what_precedes_a_fault_is_never_measured_cheaper(value: Any, data: st.DataObject) -> None:
    """A parser goes as far as the fault; so far the scan must have counted all that it met."""
    text = orjson.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    rest = data.draw(st.binary(max_size=12) | st.sampled_from([b'"', b"\\", b'\\"', b'""', b'"a']))
    shape, slow = json_shape(text[:at] + rest, PLENTY), reference(text[:at])
    assert shape.nodes >= 1 + slow.structure
    assert shape.depth >= slow.depth


@given(st.binary(max_size=60))
def test_any_bytes_are_measured(text: bytes) -> None:
    shape = json_shape(text, PLENTY)
    assert shape.nodes >= 1
    assert shape.depth >= 0


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (b"", JsonShape(1, 0, 0)),
        (b"1", JsonShape(1, 0, 0)),
        (b'"[[[["', JsonShape(1, 0, 0)),
        (b'"\\"[[["', JsonShape(1, 0, 0)),
        (b'["\\\\",[[1]]]', JsonShape(5, 3, 0)),
        (b'["\\\\\\"",[[1]]]', JsonShape(5, 3, 0)),
        (b'{"a":{"b":[{}]}}', JsonShape(5, 4, 2)),
        (b'{"":"","":""}', JsonShape(3, 1, 2)),
        (b"]]][", JsonShape(2, 0, 0)),
        (b"[" * 300, JsonShape(301, 300, 0)),
    ],
)
def test_corners(text: bytes, shape: JsonShape) -> None:
    assert json_shape(text, PLENTY) == shape


@pytest.mark.parametrize(
    "text", [b"[" * 2_000_000, b"," * 2_000_000, b'""' * 2_000_000, b'"a",' * 1_000_000]
)
def test_beyond_the_bound_only_that_is_known(text: bytes) -> None:
    assert json_shape(text, 1_000).nodes > 1_000


@pytest.mark.parametrize(
    "text",
    [
        orjson.dumps(
            {"messages": [{"role": "user", "content": "some words, and more " * 180_000}]}
        ),
        orjson.dumps({"messages": [{"role": "user", "content": "hello"}] * 60_000}),
        b'"' + b"\\\\" * 1_900_000 + b'"',
        b'"' + b'\\"' * 1_900_000 + b'"',
        b'"' * 3_800_000,
        b"[" * 3_800_000,
    ],
    ids=["text", "messages", "backslashes", "quotes", "bare quotes", "brackets"],
)
def test_the_worst_body_costs_milliseconds(text: bytes) -> None:
    began = time.perf_counter()
    json_shape(text, 200_000)
    assert time.perf_counter() - began < 0.25  # about 15 ms measured; machines differ
