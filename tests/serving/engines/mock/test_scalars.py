from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.mock import scalars
from serving.engines.mock.draws import Draws

WORDS = ("invoice", "naïve", "42")
FORMATS = (
    *("date", "date-time", "time", "duration", "email", "idn-email", "hostname", "idn-hostname"),
    *("ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid"),
    *("json-pointer", "relative-json-pointer", "regex"),
)


def holds(schema: dict[str, Any], value: object) -> bool:
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(value)


@pytest.mark.parametrize("name", FORMATS)
def test_known_formats(name: str) -> None:
    schema = {"type": "string", "format": name}
    for i in range(20):
        assert holds(schema, scalars.text(schema, Draws(bytes([i])), WORDS))


def test_unknown_formats_are_plain_text() -> None:
    assert scalars.text({"format": "colour"}, Draws(b"k"), ("red",)) == "red"


@given(st.integers(0, 200), st.integers(0, 200), st.binary(max_size=8))
def test_lengths(low: int, more: int, key: bytes) -> None:
    schema = {"type": "string", "minLength": low, "maxLength": low + more}
    assert holds(schema, scalars.text(schema, Draws(key), WORDS))


def test_patterns_within_lengths() -> None:
    schema = {"type": "string", "pattern": "^[a-z]+$", "minLength": 12, "maxLength": 14}
    for i in range(20):
        assert holds(schema, scalars.text(schema, Draws(bytes([i])), WORDS))


def test_lengths_are_bounded() -> None:
    assert len(scalars.text({"minLength": 10**9}, Draws(b"k"), WORDS)) <= scalars.MAX_STRING


limits = st.integers(-1_000, 1_000)


@given(
    st.none() | limits,
    st.none() | st.integers(1, 500),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=8),
)
def test_integers(low: int | None, span: int | None, above: bool, below: bool, key: bytes) -> None:
    schema: dict[str, Any] = {"type": "integer"}
    if low is not None:
        schema["exclusiveMinimum" if above else "minimum"] = low
    if span is not None:
        schema["exclusiveMaximum" if below else "maximum"] = (low or 0) + span + 1
    assert holds(schema, scalars.integer(schema, Draws(key)))
    schema["type"] = "number"
    assert holds(schema, scalars.number(schema, Draws(key)))


@given(st.integers(1, 40), st.integers(-50, 50), st.binary(max_size=8))
def test_multiples(step: int, low: int, key: bytes) -> None:
    schema = {"type": "integer", "multipleOf": step, "minimum": low, "maximum": low + 2 * step}
    assert holds(schema, scalars.integer(schema, Draws(key)))


def test_fractional_multiples() -> None:
    schema = {"type": "number", "multipleOf": 0.25, "minimum": 1, "maximum": 2}
    for i in range(20):
        assert holds(schema, scalars.number(schema, Draws(bytes([i]))))


def test_draft_4_bounds_and_odd_values() -> None:
    schema = {"minimum": 4, "exclusiveMinimum": True, "maximum": 6, "exclusiveMaximum": True}
    assert {scalars.integer(schema, Draws(bytes([i]))) for i in range(9)} == {5}
    assert scalars.integer({"minimum": 1e300}, Draws(b"k")) <= 100
    assert scalars.number({"minimum": 0.1, "maximum": 0.101}, Draws(b"k")) >= 0.1
