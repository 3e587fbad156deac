"""Two JSON Schemas in one: what `allOf`, a reference beside other keywords or a branch mean."""

from typing import Any

_TIGHTEN = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}


def merge(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Both schemas at once: properties and required united, bounds tightened, enums intersected;
    for other keywords the second counts.
    """
    merged = {**a, **b}
    for key in a.keys() & b.keys():
        one, two = a[key], b[key]
        if key in {"properties", "$defs", "dependentRequired"} and isinstance(one, dict):
            merged[key] = _merge_properties(one, two) if isinstance(two, dict) else one
        elif key == "required" and isinstance(one, list) and isinstance(two, list):
            merged[key] = [*one, *(k for k in two if k not in one)]
        elif key == "enum" and isinstance(one, list) and isinstance(two, list):
            merged[key] = [v for v in one if v in two] or two
        elif key in _TIGHTEN and isinstance(one, int | float) and isinstance(two, int | float):
            merged[key] = _TIGHTEN[key](one, two)
        elif key == "allOf" and isinstance(one, list) and isinstance(two, list):
            merged[key] = [*one, *two]
    return merged


def _merge_properties(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    both = {**a, **b}
    for name in a.keys() & b.keys():
        if isinstance(a[name], dict) and isinstance(b[name], dict):
            both[name] = merge(a[name], b[name])
    return both
