"""Answers in JSON: values of the schema that was asked for, and plausible wrong ones."""

import json
from typing import Any

from serving.engines.mock import schema as json_schema
from serving.engines.mock.draws import Draws, derive
from serving.engines.mock.reading import Reading
from serving.wire.chat import ChatRequest

BREAK_SHARE = 0.3
"""Share of wrong answers that are no JSON or break the schema; the rest hold wrong values."""


def wanted(request: ChatRequest, reading: Reading) -> dict[str, Any] | None:
    """The schema that the answer should satisfy, None where it need not be JSON."""
    form = request.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is not None:
        return form.json_schema.json_schema or {"type": "object"}
    if (form is not None and form.type == "json_object") or reading.wants_json:
        return free_object(reading)
    return None


def free_object(reading: Reading) -> dict[str, Any]:
    """The schema of the object that is answered where none was given."""
    fields: dict[str, Any] = {
        "answer": {"type": "string", "minLength": 1},
        "topic": {"enum": list(reading.keywords) or ["request"]},
        "items": {"type": "integer", "minimum": 1, "maximum": 100},
        "done": {"type": "boolean"},
    }
    return {"type": "object", "properties": fields, "required": list(fields)}


def true_json(schema: dict[str, Any], key: bytes, words: tuple[str, ...]) -> str:
    return _text(json_schema.sample(schema, derive(key, "true json"), words).value)


def wrong_json(schema: dict[str, Any], truth: str, words: tuple[str, ...], sample: bytes) -> str:
    """JSON with other values than `truth`, or by `BREAK_SHARE` text that breaks the schema; always
    the latter where the schema allows one value only.
    """
    draws = Draws(derive(sample, "wrong json"))
    if not draws.chance(BREAK_SHARE):
        for attempt in range(4):
            other = _text(json_schema.sample(schema, derive(sample, "other", attempt), words).value)
            if other != truth:
                return other
    return broken(schema, truth, draws)


def broken(schema: dict[str, Any], truth: str, draws: Draws) -> str:
    """`truth` without a required field, with a value of another type, in prose, or cut short."""
    check = json_schema.checker(schema)
    value = json.loads(truth)
    if isinstance(value, dict) and value and check is not None:
        name = draws.pick(list(value))
        damaged = [
            {k: v for k, v in value.items() if k != name},
            {**value, name: [value[name]] if isinstance(value[name], str) else "unknown"},
        ]
        for candidate in draws.sample(damaged, draws.between(0, 2)):
            if not check.is_valid(candidate):
                return _text(candidate)
    if truth[0] not in '{["' or draws.chance(0.5):
        return f"Here is the JSON you asked for:\n{truth}"
    return truth[: max(1, len(truth) * 3 // 5)]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
