from typing import Any

import pytest

from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.schema_check import check_schema


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [
        obj(a={"type": "string", "enum": ["x"], "description": "d"}, b={"const": 1}),
        obj(a={"type": ["string", "null"], "format": "uuid"}),
        obj(a={"type": "array", "items": {"type": "number"}, "minItems": 1}),
        obj(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": obj()}},
        obj(a={"anyOf": [{"type": "string"}, {"allOf": [{"type": "integer"}]}]}),
    ],
)
def test_what_a_grammar_can_hold(schema: dict[str, Any]) -> None:
    check_schema(schema, "s")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "object"}, "explicitly set to false"),
        (obj(a={"type": "object", "additionalProperties": True}), "s.properties.a"),
        (obj(a={"type": "number", "maximum": 3}), "'maximum' is not supported"),
        (obj(a={"type": "string", "maxLength": 3}), "'maxLength' is not supported"),
        (obj(a={"type": "array", "items": {"type": "string"}, "minItems": 2}), "0 or 1"),
        (obj(a={"type": "array", "items": {"type": "string"}, "maxItems": 2}), "maxItems"),
        (obj(a={"type": "string", "format": "regex"}), "format"),
        (obj(a={"oneOf": [{"type": "string"}]}), "oneOf"),
        (obj(a={"enum": [[1]]}), "enum"),
        (obj(a={"enum": []}), "enum"),
        (obj(a={}), "needs a type"),
        (obj(a="string"), "expected an object schema"),
        (obj(a={"type": "float"}), "unknown type 'float'"),
        (obj(a={"$ref": "#/properties/b"}), "within the schema"),
        (obj(a={"$ref": "#/$defs/B"}), "does not exist"),
        (
            obj(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": obj(b={"$ref": "#/$defs/A"})}},
            "recursive",
        ),
    ],
)
def test_what_it_cannot(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_schema(schema, "s")
    assert message in caught.value.message
