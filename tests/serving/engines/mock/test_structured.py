import json
from typing import Any

import pytest

from serving.engines.mock import schema as json_schema
from serving.engines.mock.draws import Draws
from serving.engines.mock.reading import read
from serving.engines.mock.structured import (
    BREAK_SHARE,
    broken,
    free_object,
    true_json,
    wanted,
    wrong_json,
)
from tests.serving.engines.helpers import ask

WORDS = ("invoice", "customer")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def passes(schema: dict[str, Any], text: str) -> bool:
    check = json_schema.checker(schema)
    assert check is not None
    try:
        return check.is_valid(json.loads(text))
    except ValueError:
        return False


def test_wanted_schema() -> None:
    plain = ask()
    assert wanted(plain, read(plain)) is None
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    request = ask(response_format=form)
    assert wanted(request, read(request)) == SCHEMA
    loose = ask(response_format={"type": "json_object"})
    assert wanted(loose, read(loose)) == free_object(read(loose))
    said = ask("Reply in JSON: where is my card?")
    assert wanted(said, read(said)) == free_object(read(said))


def test_wrong_answers_hold_other_values_or_break_the_schema() -> None:
    truth = true_json(SCHEMA, b"question", WORDS)
    assert passes(SCHEMA, truth)
    wrong = [wrong_json(SCHEMA, truth, WORDS, i.to_bytes(2, "big")) for i in range(600)]
    assert truth not in wrong
    broke = sum(not passes(SCHEMA, w) for w in wrong) / len(wrong)
    assert abs(broke - BREAK_SHARE) < 0.05


@pytest.mark.parametrize(
    "schema",
    [
        {"const": 5},
        {"const": {}},
        {"enum": [123]},
        {"type": "object", "properties": {}, "additionalProperties": False},
        {"type": "null"},
    ],
)
def test_where_one_value_is_allowed_a_wrong_answer_breaks_the_schema(
    schema: dict[str, Any],
) -> None:
    truth = true_json(schema, b"question", WORDS)
    for i in range(30):
        assert not passes(schema, wrong_json(schema, truth, WORDS, bytes([i])))


def test_broken_ones_never_pass() -> None:
    for schema in (SCHEMA, {"type": "array", "items": SCHEMA, "minItems": 1}, {"type": "string"}):
        truth = true_json(schema, b"question", WORDS)
        texts = {broken(schema, truth, Draws(bytes([i]))) for i in range(60)}
        assert len(texts) > 1
        assert not any(passes(schema, t) for t in texts)


def test_free_objects_name_a_topic_of_the_request() -> None:
    request = ask("JSON about the invoice please")
    value = json.loads(true_json(free_object(read(request)), b"q", WORDS))
    assert set(value) == {"answer", "topic", "items", "done"}
    assert value["topic"] in {"json", "invoice"}
