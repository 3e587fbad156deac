"""A body that breaks the request's model, told as OpenAI tells it: which field, what is allowed.

What the client sent is never repeated beyond the names of its fields.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serving.errors import InvalidRequest
from serving.wire.chat import StepwellOptions

M = TypeVar("M", bound=BaseModel)
MAX_PARAM_CHARS = 200


def parse_as(model: type[M], body: Mapping[str, Any]) -> M:
    """The body as `model`; `InvalidRequest` names the first field at fault."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _explained(error, body) from None


def _explained(error: ValidationError, body: Mapping[str, Any]) -> InvalidRequest:
    """A union reports each of its branches; the one that came furthest into the body is the one
    that was meant, and faults at the same place are alternatives of each other.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = _path(found[0], body)
    located = [(_path(e, body), e) for e in found]
    related = [(p, e) for p, e in located if p[: len(first)] == first or first[: len(p)] == p]
    path = max((p for p, _ in related), key=len)
    at_path = [e for p, e in related if p == path]
    param = ".".join(str(part) for part in path)[:MAX_PARAM_CHARS] or None
    reasons = " or: ".join(dict.fromkeys(_reason(e, path) for e in at_path))
    if all(e["type"] == "missing" for e in at_path):
        message = f"Missing required parameter: '{param}'."
    elif param is None:
        message = f"Invalid request: {reasons}."
    else:
        message = f"Invalid value for '{param}': {reasons}."
    return InvalidRequest(message, param=param, code=_code(at_path[0]))


def _path(error: ErrorDetails, body: Mapping[str, Any]) -> tuple[str | int, ...]:
    """The location as a path into the body: names of union branches are no part of it."""
    path: list[str | int] = []
    at: Any = body
    for part in error["loc"]:
        if _has(at, part):
            at = at[part]
            path.append(part)
        elif error["type"] == "missing" and part is error["loc"][-1]:
            path.append(part)
    return tuple(path)


def _has(value: object, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _reason(error: ErrorDetails, path: tuple[str | int, ...]) -> str:
    if error["type"] == "extra_forbidden":
        if path[:1] == ("stepwell",) and len(path) == 2:
            return f"there is no such option; known: {', '.join(StepwellOptions.model_fields)}"
        return "there is no such option"
    reason = error["msg"].removeprefix("Value error, ")
    return reason[:1].lower() + reason[1:]


def _code(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "missing":
        return "missing_required_parameter"
    if kind == "extra_forbidden":
        return "unknown_parameter"
    if kind == "unsupported_parameter":
        return kind
    return "invalid_type" if kind.endswith("_type") else "invalid_value"
