from typing import Any

import pytest

from serving.engines.mock.schema_merge import merge


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        ({"minimum": 1, "maximum": 9}, {"minimum": 3, "maximum": 20}, {"minimum": 3, "maximum": 9}),
        ({"required": ["a", "b"]}, {"required": ["b", "c"]}, {"required": ["a", "b", "c"]}),
        ({"enum": [1, 2, 3]}, {"enum": [3, 2]}, {"enum": [2, 3]}),
        ({"enum": [1]}, {"enum": [2]}, {"enum": [2]}),
        ({"type": "string"}, {"type": "integer"}, {"type": "integer"}),
        (
            {"properties": {"a": {"minLength": 1}, "b": {}}},
            {"properties": {"a": {"minLength": 4}, "c": {}}},
            {"properties": {"a": {"minLength": 4}, "b": {}, "c": {}}},
        ),
        ({"allOf": [{"a": 1}]}, {"allOf": [{"b": 1}]}, {"allOf": [{"a": 1}, {"b": 1}]}),
    ],
)
def test_merge(a: dict[str, Any], b: dict[str, Any], both: dict[str, Any]) -> None:
    before = (repr(a), repr(b))
    assert merge(a, b) == both
    assert (repr(a), repr(b)) == before
