"""Tool call arguments: JSON text on OpenAI's side, an object on Anthropic's."""

import json
from typing import Any


def parse_arguments(text: str) -> Any:
    """The value of `text`, empty text being an empty object. `ValueError` where it is no JSON that
    can be sent on: broken, nested too deep, not finite, or not encodable.
    """
    try:
        value = json.loads(text or "{}")
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def arguments_object(text: str) -> dict[str, Any]:
    """The arguments as an object. Text that is none (a weaker tier wrote it) is kept under a name
    that says so, since the call stands in the history and cannot be unsaid.
    """
    try:
        value = parse_arguments(text)
    except ValueError:
        return {"invalid_json": text}
    return value if isinstance(value, dict) else {"value": value}


def arguments_text(value: Any) -> str:
    """The arguments of a `tool_use` block as JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
